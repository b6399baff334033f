"""`maskserve-train`: train the shipped recipes or your own, and measure checkpoints."""

import json
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from models.checkpoint import CheckpointError, read_config, tokenizer_directory
from training.data import MissingDataError
from training.data.folder import Aspect
from training.failures import Stopped, TrainingFailed
from training.recipe import read_recipe, recipe_names
from training.runs import run_recipe
from training.where import Where

app = typer.Typer(
    help="Train generators that maskserve serves.\n\n"
    "A first run, seconds long:  maskserve-train run tiny-maskgit --out runs/tiny\n\n"
    "Then serve it:              maskserve serve --models runs/tiny/checkpoint\n\n"
    "Kill a run whenever you like: the same command continues where it stopped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data set, if not where its package puts it.")]


@app.command()
def recipes() -> None:
    """List the recipes."""
    table = Table("recipe", "what it trains", box=None)
    for name in recipe_names():
        table.add_row(name, read_recipe(name).description)
    Console().print(table)


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a TOML file of your own.")],
    out: Annotated[Path, typer.Option(help="Run directory: state, curves, samples, checkpoint.")],
    data_dir: DataDir = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Tokenizer for a generator, else one is trained; of a tokenizer recipe: to train further."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Train for this many steps instead.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a recipe value: --set generator.train.lr=5e-4"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Continue a run that is there, or delete it.")
    ] = True,
    device: Annotated[str, typer.Option(help="cpu, or auto for what accelerate finds.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.")] = 0,
) -> None:
    """Train a recipe and write OUT/checkpoint.

    Watch OUT/samples and `tensorboard --logdir OUT`. Several processes share each batch when started by torchrun:

        torchrun --nproc-per-node 2 -m training.cli run fashion-vqgan --out runs/vqgan --threads 1
    """
    if threads:
        torch.set_num_threads(threads)
    changes = dict(_pair(text) for text in change or [])
    stage = "tokenizer" if read_recipe(recipe).tokenizer is not None else "generator"
    if steps is not None:
        changes[f"{stage}.train.steps"] = str(steps)
    if read_recipe(recipe).data == "folder":
        command = "sound" if read_recipe(recipe).sound is not None else "image"
        raise ValueError(f"{recipe} is filled in from a folder: maskserve-train {command} --data DIR --recipe {recipe}")
    where = Where(out, data_dir, tokenizer, resume, device)
    place = run_recipe(read_recipe(recipe, changes), where)
    Console().print(f"checkpoint: {place}")


@app.command()
def image(
    data: Annotated[Path, typer.Option(help="Folder of pictures: subfolders are classes, or there are captions.")],
    out: Annotated[Path, typer.Option(help="Run directory; OUT/checkpoint is what the service reads.")],
    size: Annotated[int | None, typer.Option(help="Pixels a side: 16, 32, 64, 128 or 256.")] = None,
    colour: Annotated[bool | None, typer.Option("--colour/--grey", help="Decided by the pictures if absent.")] = None,
    aspect: Annotated[Aspect, typer.Option(help="What happens to pictures that are not square.")] = "crop",
    flip: Annotated[bool, typer.Option("--flip", help="Train on mirror images too.")] = False,
    tokenizer: Annotated[Path | None, typer.Option(help="Tokenizer checkpoint, instead of training one.")] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Generator checkpoint to start from, with its tokenizer; classes may differ.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe to fill in, or a TOML file of your own.")] = "image",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe value: --set generator.train.steps=5000")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there and how long it takes.")] = False,
    licence: Annotated[str, typer.Option(help="Of the pictures, for the model card.")] = "unknown",
    credit: Annotated[str, typer.Option(help="Whom to name, for the model card.")] = "",
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Continue what is there, or delete it.")] = True,
    device: Annotated[str, typer.Option(help="cpu, or auto for what accelerate finds.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.")] = 0,
) -> None:
    """Train a generator on a folder of your own pictures, from tokenizer to checkpoint.

    Subfolders are classes and become the prompts. Or the pictures have captions, and prompts are words of those:
    DIR/captions.jsonl with lines like {"file": "a.png", "caption": "a red circle"}, or a text file beside each picture.

    Finished stages are skipped, an interrupted one goes on. Watch OUT/samples; from the generator's first save on the
    directory can be served:

        maskserve serve --models OUT
    """
    from training.commands.image import train_images
    from training.pictures_job import PicturesJob

    if threads:
        torch.set_num_threads(threads)
    changes = dict(map(_pair, change or []))
    if tokenizer is None and init_from is not None:
        tokenizer = tokenizer_directory(init_from, read_config(init_from))
    job = PicturesJob(data, out, size, colour, aspect, flip, recipe, changes, licence, credit, tokenizer)
    train_images(job, Where(out, None, tokenizer, resume, device, init_from=init_from), dry_run)


@app.command()
def sound(
    data: Annotated[Path, typer.Option(help="Folder of WAV, FLAC, OGG, MP3 or AIFF files with captions.")],
    out: Annotated[Path, typer.Option(help="Run directory; OUT/checkpoint is what the service reads.")],
    rate: Annotated[int, typer.Option(help="Samples a second: 8000, 16000, 24000, 32000 or 48000.")] = 16000,
    seconds: Annotated[float, typer.Option(help="Of a piece, and of the longest sound that is made.")] = 4.0,
    tokenizer: Annotated[Path | None, typer.Option(help="Codec checkpoint, instead of training one.")] = None,
    recipe: Annotated[str, typer.Option(help="Recipe to fill in, or a TOML file of your own.")] = "sound",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe value: --set sound.train.steps=5000")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there.")] = False,
    licence: Annotated[str, typer.Option(help="Of the sounds, for the model card.")] = "unknown",
    credit: Annotated[str, typer.Option(help="Whom to name, for the model card.")] = "",
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Continue what is there, or delete it.")] = True,
    device: Annotated[str, typer.Option(help="cpu, or auto for what accelerate finds.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.")] = 0,
) -> None:
    """Train codec and generator on a folder of your own sounds.

    Captions lie in DIR/captions.jsonl, in lines like {"file": "a.wav", "caption": "rain on a roof"}, or in a text file
    beside each sound. Without them a sound is asked for by the names of the folders that it lies in, or by its own.

    Long sounds become several pieces, short ones end in silence. An interrupted run goes on; from the generator's first
    save on the directory can be served:

        maskserve serve --models OUT
    """
    from training.commands.sound import train_sounds
    from training.sounds_job import SoundsJob

    if threads:
        torch.set_num_threads(threads)
    job = SoundsJob(data, out, rate, seconds, recipe, dict(map(_pair, change or [])), licence, credit)
    train_sounds(job, Where(out, None, tokenizer, resume, device), dry_run)


@app.command()
def video(
    data: Annotated[Path, typer.Option(help="Folder of MP4, MOV, WebM, MKV, AVI or GIF files.")],
    out: Annotated[Path, typer.Option(help="Run directory; OUT/checkpoint is what the service reads.")],
    size: Annotated[
        int, typer.Option(help="Pixels a side: 32, 64 or 128. Frames lose what is beside their middle.")
    ] = 64,
    colour: Annotated[bool, typer.Option("--colour/--grey", help="What frames become.")] = True,
    fps: Annotated[float, typer.Option(help="Frames a second that are looked at; 0 for all.")] = 0.0,
    recipe: Annotated[str, typer.Option(help="Recipe to fill in, or a TOML file of your own.")] = "video",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe value: --set video.train.steps=5000")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there.")] = False,
    licence: Annotated[str, typer.Option(help="Of the videos, for the model card.")] = "unknown",
    credit: Annotated[str, typer.Option(help="Whom to name, for the model card.")] = "",
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Continue what is there, or delete it.")] = True,
    device: Annotated[str, typer.Option(help="cpu, or auto for what accelerate finds.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.")] = 0,
) -> None:
    """Train a generator on a folder of your own videos.

    It learns to predict, to go back, to fill in and to dream, from every stretch of frames that is long enough. An
    interrupted run goes on; from the first save on the directory can be served:

        maskserve serve --models OUT
    """
    from training.commands.video import train_videos
    from training.videos_job import VideosJob

    if threads:
        torch.set_num_threads(threads)
    job = VideosJob(data, out, size, colour, fps, recipe, dict(map(_pair, change or [])), licence, credit)
    train_videos(job, Where(out, resume=resume, device=device), dry_run)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint directory.")],
    data: Annotated[
        Path | None, typer.Option(help="The folder of pictures it was trained on; Fashion-MNIST if absent.")
    ] = None,
    data_dir: DataDir = None,
    count: Annotated[
        int | None, typer.Option(help="Samples; distances of fewer are larger. 10,000 pictures, 200 sounds, 64 clips.")
    ] = None,
    trials: Annotated[int, typer.Option(help="For each clip, of which the best counts.")] = 10,
    seed: Annotated[int, typer.Option(help="First seed; sample i has seed + i.")] = 0,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a sampling value: --set num_inference_steps=8"),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            help="cls: a classifier of these classes (the default). lite0: EfficientNet-Lite0 of ImageNet, from two "
            "optional packages. FILE: a TorchScript network, for example FID's Inception; such a file can run any "
            "code, so take it only from a source you trust. Repeat the option for several."
        ),
    ] = None,
    features_size: Annotated[
        int | None, typer.Option(min=8, help="Bring pictures to this many pixels a side for FILE.")
    ] = None,
    statistics: Annotated[
        Path | None,
        typer.Option(
            help="An npz file with mu and sigma, as published for FID: distances of the one --features besides cls "
            "are to these instead of to the test images."
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write numbers and pictures into the checkpoint: config.json, README.md.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the numbers here as JSON.")] = None,
) -> None:
    """Measure a checkpoint: tokenizer, samples, and real images by the same yardstick.

    Distances are between features of a network and carry its name: fid_cls, fid_lite0. By default it is a classifier
    of the same pictures: for Fashion-MNIST one that ships, for your own one that is trained first. Beside them: real
    against real (the floor), and real at half resolution (the control), as many of each.

    A codec or a generator of loops is compared with loops that nothing was trained on: the instrument that a classifier
    hears, the tempo of its onsets, FAD-cls; of the codec the use of its codes and what resynthesis loses, too.
    --data-dir is where the loops of training lie.

    A generator of clips of digits is compared with clips that are drawn from digits it has never seen: how close the
    best of some trials comes, which digits are still read, FVD-own. --data-dir is where the digits lie.
    """
    from training.commands.evaluate import Measuring, measure
    from training.commands.evaluate_sound import Listening, is_sound, measure_sound
    from training.commands.evaluate_video import Watching, is_video, measure_video

    if is_video(checkpoint):
        place = data_dir or Path()
        watching = Watching(checkpoint, place, count or 64, trials, seed, dict(map(_pair, change or [])), write, out)
        Console().print_json(json.dumps(measure_video(watching)))
        return
    if is_sound(checkpoint):
        place = data_dir or Path("runs/loops")
        listening = Listening(checkpoint, place, count or 200, seed, dict(map(_pair, change or [])), write, out)
        Console().print_json(json.dumps(measure_sound(listening)))
        return
    changes = dict(map(_pair, change or []))
    words = tuple(features or ("cls",))
    measuring = Measuring(
        checkpoint, data, data_dir, count or 10_000, seed, changes, words, features_size, statistics, write, out
    )
    Console().print_json(json.dumps(measure(measuring)))


@app.command()
def publish(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint made from Fashion-MNIST.")],
    out: Annotated[Path, typer.Option(help="Where the measured checkpoint with its card goes.")],
    notes: Annotated[Path, typer.Option(help="Text file: how it was trained, for the card.")],
    curves: Annotated[
        list[str] | None,
        typer.Option(help="NAME=RUN_DIRECTORY whose curves are shown: tokenizer, decoder, generator."),
    ] = None,
    data_dir: DataDir = None,
    count: Annotated[int, typer.Option(help="Samples to measure.")] = 10_000,
    change: Annotated[list[str] | None, typer.Option("--set", help="A new default for sampling: key=value.")] = None,
) -> None:
    """Measure a checkpoint, fix its sampling defaults, and write pictures and a model card."""
    from training.evaluate.publish import publish as make

    runs = {name: Path(place) for name, place in map(_pair, curves or [])}
    make(
        checkpoint,
        out,
        runs,
        notes.read_text(encoding="utf-8").strip(),
        dict(map(_pair, change or [])),
        data_dir,
        count,
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes key=value, not {text!r}")
    return key, value


def main() -> None:
    """Entry point: errors that the user can mend are one line."""
    try:
        app()
    except Stopped as stopped:
        _complain(str(stopped))
        sys.exit(130)
    except (ValueError, MissingDataError, CheckpointError, TrainingFailed) as error:
        _complain(str(error))
        sys.exit(2)


def _complain(text: str) -> None:
    Console(stderr=True).print(f"maskserve-train: {text}", style="red", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
