"""`maskserve-train image`: what a folder holds and what will happen, then the run."""

from collections import Counter
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from models.captions import words_of
from training.data.folder import Prepared
from training.data.listing import Listing
from training.failures import explained
from training.pictures_job import (
    PicturesJob,
    Planned,
    memory_bytes,
    plan,
    prepared,
    run,
    seconds_to_finish,
)
from training.processes import processes
from training.where import Where

NAMED = 10  # files and classes that are listed by name


def train_images(job: PicturesJob, where: Where, dry_run: bool) -> None:
    """Report, and train unless `dry_run`. Raises what the parts raise."""
    state = processes(where.device)
    console = Console(quiet=not state.is_main_process)
    with explained("generator", job.out):
        planned = plan(job)
        with state.main_process_first(), _progress(console) as bar:  # the others find what the first one decoded
            task = bar.add_task("reading pictures", total=len(planned.listing))
            data = prepared(job, planned, lambda: bar.advance(task))
        report(console, planned, data)
        fresh = not where.resume or not (where.out / "state.pt").is_file()
        if state.num_processes == 1 and (dry_run or fresh):
            tell_time(console, planned, data, where)
        if dry_run:
            console.print("Nothing was trained (--dry-run).")
            return
        place = run(job, planned, data, where)
    console.print(f"checkpoint: {place}", soft_wrap=True, markup=False)
    console.print(f"serve it:   maskserve serve --models {job.out}", soft_wrap=True, markup=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True)


def report(console: Console, planned: Planned, data: Prepared) -> None:
    """The pictures and what will be made of them."""
    listing, shape = planned.listing, planned.shape
    console.print(_asked_for(listing))
    colour = "colour" if shape.channels == 3 else "grey"
    console.print(
        f"{len(data.train):,} to train on, {len(data.validation):,} held out; "
        f"{shape.size}x{shape.size} pixels, {colour}, {shape.aspect}"
    )
    for title, files in (("left out", data.skipped), ("changed", data.changed)):
        for name, why in list(files.items())[:NAMED]:
            console.print(f"{title}: {name}: {why}", soft_wrap=True, markup=False, highlight=False)
        if len(files) > NAMED:
            console.print(f"{title}: {len(files) - NAMED} more")
    generator = planned.recipe.generator
    assert generator is not None
    sizes = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in planned.parameters.items())
    rows, columns = generator.network.grid
    console.print(
        f"{rows}x{columns} tokens; parameters: {sizes}; {memory_bytes(planned) / 2**20:,.0f} MiB and activations"
    )


def _asked_for(listing: Listing) -> Table:
    """Pictures per class, or the most frequent words of the captions."""
    if not listing.classes:
        found = Counter(word for source in listing.sources for word in set(words_of(source.caption)))
        known = [word for word in listing.conditions if " " not in word]
        table = Table("word", f"of {len(listing):,} captions", box=None)
        rows = [(word, found[word]) for word in known]
    else:
        table = Table("class", "pictures", box=None)
        rows = list(listing.counts.items())
    for name, count in rows[:NAMED]:
        table.add_row(escape(name), f"{count:,}")
    if len(rows) > NAMED:
        table.add_row(f"and {len(rows) - NAMED} more", "")
    return table


def tell_time(console: Console, planned: Planned, data: Prepared, where: Where) -> None:
    seconds = seconds_to_finish(planned, data, where.device, where.tokenizer is not None)
    parts = ", ".join(f"{stage} {clock(value)}" for stage, value in seconds.items())
    console.print(f"about {clock(sum(seconds.values()))} to finish ({parts}), measured on a few steps")


def clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
