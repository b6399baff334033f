"""`maskserve-train sound`: what a folder holds, then the run."""

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.captions import vocabulary, words_of
from training.commands.skipped import tell_skipped
from training.data.sound_folder import PreparedSounds
from training.failures import explained
from training.processes import processes
from training.sounds_job import SoundsJob, plan, prepared, run
from training.where import Where

NAMED = 10  # words that are listed


def train_sounds(job: SoundsJob, where: Where, dry_run: bool) -> None:
    """Report, and train unless `dry_run`. Raises what the parts raise."""
    state = processes(where.device)
    console = Console(quiet=not state.is_main_process)
    with explained("sound", job.out):
        recipe = plan(job)
        with state.main_process_first():  # the others find what the first one decoded
            data = prepared(job)
        report(console, job, data)
        if dry_run:
            console.print("Nothing was trained (--dry-run).")
            return
        place = run(job, recipe, data, where)
    console.print(f"checkpoint: {place}", soft_wrap=True, markup=False)
    console.print(f"serve it:   maskserve serve --models {job.out}", soft_wrap=True, markup=False)


def report(console: Console, job: SoundsJob, data: PreparedSounds) -> None:
    """The sounds and what they can be asked for by."""
    found = Counter(word for caption in data.captions for word in set(words_of(caption)))
    words = [term for term in vocabulary(data.captions) if " " not in term]
    table = Table("word", f"of {len(data.captions):,} captions", box=None)
    for word in words[:NAMED]:
        table.add_row(escape(word), f"{found[word]:,}")
    if len(words) > NAMED:
        table.add_row(f"and {len(words) - NAMED} more", "")
    console.print(table)
    minutes = data.waves.size / job.rate / 60
    console.print(f"{len(data.captions):,} pieces of {data.files:,} files, {minutes:,.1f} minutes; {job.rate} Hz, mono")
    tell_skipped(console, data.skipped)
