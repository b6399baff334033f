"""`maskserve generate`: pictures, sounds and videos without a server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.refusal import Refusal, one_line

if TYPE_CHECKING:
    from service.commands.recipes import Recipe
    from service.offline import Model
    from service.settings import Settings

HELP = """Make pictures, sounds or videos offline, with the server's own engine: same request and seed, same bytes.

MODEL is the name of a checkpoint below --models, a directory, or org/name on the hub. PROMPT is a class name, its
index, or a sentence that names exactly one class; of a model trained on captions, words it knows. Examples:

  maskserve generate maskgit-fashion sneaker --out sneaker.png

  maskserve generate maskgit-fashion bag --n 4 --seed 7 --steps 16 --guidance 2 --out bags/

  maskserve generate maskgit-fashion coat --steps 24 --reuse 1 --out coat.png

  maskserve generate maskgit-fashion --count 10000 --balanced --out samples.npz

  maskserve generate maskgit-fashion --from requests.jsonl --out made/

  maskserve generate --like sneaker.png --out again.png

  maskserve generate SOUND-MODEL "slow piano" --duration 4 --loop --out loop.wav

  maskserve generate VIDEO-MODEL --input clip.mp4 --frames 20 --out next.mp4

A line of requests.jsonl has the fields of POST /v1/images/generations (of a sound model: /v1/audio/generations, of
a video model: /v1/videos): {"prompt": "bag", "n": 2, "seed": 7}. --like repeats a picture, a WAV or a FLAC file, or a
video made from nothing, made here or by the server, to the byte from the tags in it."""

NOUNS = {"image": "pictures", "audio": "sounds", "video": "videos"}


def generate(
    model: Annotated[str | None, typer.Argument(help="A checkpoint's name or directory; --like knows it.")] = None,
    prompt: Annotated[str | None, typer.Argument(help="What is to be seen, or heard.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file for one (.png, .wav), FILE.npz, else a directory.")] = None,
    n: Annotated[int | None, typer.Option(help="Samples of one seed; --n 4 begins with the result of --n 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Drawn if absent.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many, each with a seed of its own.")] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="With --count: as many of every class.")] = False,
    lines: Annotated[Path | None, typer.Option("--from", help="A .jsonl file, one request a line.")] = None,
    like: Annotated[Path | None, typer.Option(help="A file to repeat.")] = None,
    steps: Annotated[int | None, typer.Option(help="Full and reuse steps together.")] = None,
    quality: Annotated[str | None, typer.Option(help="low, medium or high, instead of --steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="uncond + G * (cond - uncond); 1 is off.")] = None,
    guidance_schedule: Annotated[str | None, typer.Option(help="constant, or linear: grows over the run.")] = None,
    reuse: Annotated[int | None, typer.Option(help="Cheap steps after each full one.")] = None,
    full_first: Annotated[int | None, typer.Option(help="Steps before the first cheap one.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the token draw, or of a chain's noise.")] = None,
    choice_temperature: Annotated[float | None, typer.Option(help="Noise on the confidence.")] = None,
    top_k: Annotated[int | None, typer.Option(help="0 is off.")] = None,
    top_p: Annotated[float | None, typer.Option(help="1 is off.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, linear, arccos or power:P.")] = None,
    diffusion_steps: Annotated[int | None, typer.Option(help="Of the chain of a continuous token.")] = None,
    diffusion_reuse: Annotated[float | None, typer.Option(help="The share of these in cheap steps.")] = None,
    diffusion_clip: Annotated[float | None, typer.Option(help="Bounds their estimates; 0 is off.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of sound.")] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="The end leads over into the beginning.")] = None,
    codebook_steps: Annotated[str | None, typer.Option(help="Steps of each codebook of sound: 20,10,10,10.")] = None,
    guidance_end: Annotated[float | None, typer.Option(help="Guidance falls to it within a codebook.")] = None,
    guidance_share: Annotated[float | None, typer.Option(help="Share of its steps that are guided.")] = None,
    head_start: Annotated[float | None, typer.Option(help="Seconds that an autoregressive twin makes.")] = None,
    rescoring: Annotated[float | None, typer.Option(help="Weight of the twin's view of spans.")] = None,
    task: Annotated[str | None, typer.Option(help="prediction, interpolation, past or unconditional video.")] = None,
    frames: Annotated[int | None, typer.Option(help="Of a video, to be made.")] = None,
    before: Annotated[
        list[Path] | None, typer.Option("--input", help="A clip that a video goes on from, or stills; repeatable.")
    ] = None,
    behind: Annotated[list[Path] | None, typer.Option("--end", help="The frames behind it, likewise.")] = None,
    include_input: Annotated[bool | None, typer.Option("--include-input", help="The file has these, too.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a video.")] = None,
    size: Annotated[str | None, typer.Option(help="Of a video: a whole multiple of the model's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Of a video: ddpm, ddim or ddim-clipped.")] = None,
    final_denoise: Annotated[str | None, typer.Option(help="Of a video: off or official.")] = None,
    plan: Annotated[str | None, typer.Option(help="Tokens per step, as answers report it: 1,2,4+6,6+7.")] = None,
    models: Annotated[
        list[Path] | None, typer.Option("--models", help="Where MODEL is looked for; repeatable.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    fields = {
        "prompt": prompt,
        "n": n,
        "seed": seed,
        "num_inference_steps": steps,
        "quality": quality,
        "guidance_scale": guidance,
        "guidance_schedule": guidance_schedule,
        "reuse": reuse,
        "full_first": full_first,
        "temperature": temperature,
        "choice_temperature": choice_temperature,
        "top_k": top_k,
        "top_p": top_p,
        "schedule": schedule,
        "diffusion_steps": diffusion_steps,
        "diffusion_reuse": diffusion_reuse,
        "diffusion_clip": diffusion_clip,
        "duration": duration,
        "loop": loop,
        "codebook_steps": codebook_steps,
        "guidance_end": guidance_end,
        "guidance_share": guidance_share,
        "head_start": head_start,
        "rescoring": rescoring,
        "plan": plan,
        "task": task,
        "frames": frames,
        "include_input": include_input,
        "fps": fps,
        "size": size,
        "sampler": sampler,
        "final_denoise": final_denoise,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    clips = (tuple(before or ()), tuple(behind or ()))
    with one_line(ValueError, OSError):
        _check(model, given | ({"clips": clips} if any(clips) else {}), count, balanced, lines, like)
        settings = _settings(models=models, device=device, dtype=dtype, threads=threads)
        _generate(settings, model, given, clips, count, balanced, lines, like, out)


def _check(
    model: str | None, given: dict[str, Any], count: int | None, balanced: bool, lines: Path | None, like: Path | None
) -> None:
    """The ways to say what is to be made exclude each other."""
    if model is None and like is None:
        raise Refusal("which model? maskserve models lists them")
    source = "--like" if like else "--from" if lines else None
    if source and (given or count or (like and lines)):
        raise Refusal(f"{source} says what to make: leave out the prompt, the seed, --count and how to decode")
    if balanced and (count is None or "prompt" in given):
        raise Refusal("--balanced goes with --count and without a prompt")
    if count is not None and "n" in given:
        raise Refusal("give --n or --count")
    if not (source or balanced or {"prompt", "frames", "clips"} & given.keys()):
        raise Refusal("what is to be made? Give a prompt, --count N --balanced, --from or --like")


def _settings(**options: Any) -> "Settings":
    """Options win over MASKSERVE_* variables."""
    from pydantic import ValidationError

    from models.architecture import describe_errors
    from service.settings import Settings

    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise Refusal("; ".join(describe_errors(error))) from None


def _find(name: str, directories: list[Path]) -> Path:
    """A directory, the checkpoint of that name below `directories`, or one on the hub. Raises Refusal, HubError."""
    from models.catalogue import model_id
    from models.hub import local

    if (Path(name) / "config.json").is_file():
        return Path(name)
    places = [local(directory) for directory in directories]
    for directory in places:
        if (directory / name / "config.json").is_file():
            return directory / name
        if model_id(directory) == name and (directory / "config.json").is_file():
            return directory
    fetched = local(Path(name))
    if (fetched / "config.json").is_file():
        return fetched
    there = sorted(found.parent.name for directory in places for found in directory.glob("*/config.json"))
    raise Refusal(f"there is no model {name!r}; there are: {', '.join(there) or 'none'}")


def _generate(
    settings: "Settings",
    name: str | None,
    given: dict[str, Any],
    clips: tuple[tuple[Path, ...], tuple[Path, ...]],
    count: int | None,
    balanced: bool,
    lines: Path | None,
    like: Path | None,
    out: Path | None,
) -> None:
    from models.checkpoint import CheckpointError
    from service.commands import recipes
    from service.commands.outputs import ENDINGS, Sample, check_target, write
    from service.offline import GenerationFailed, load

    if name is None:
        assert like is not None
        name = recipes.tagged_model(like)
    with one_line(CheckpointError):
        path = _find(name, settings.models)
    with one_line(CheckpointError, GenerationFailed), load(
        path, settings.device, settings.dtype, settings.threads
    ) as model:  # fmt: skip
        todo = _recipes(model, given, clips, count, balanced, lines, like)
        modality = model.spec.modality
        out = out or Path(f"out{ENDINGS[modality][0]}")
        check_target(out, sum(1 if one.sample is not None else one.request.n for one in todo), modality)
        owners = [one for one in todo for _ in range(one.request.n)]
        made = model.make([one.request for one in todo], progress=sys.stdout.isatty())
        samples = [
            Sample(sample, one.request, one.understood, one.output)
            for one, sample in zip(owners, made, strict=True)
            if one.sample in (None, sample.report.sample)
        ]
        if like is not None:
            _compare_numerics(like, samples[0].made.report.fingerprint)
        files = write(out, samples)
    where = files[0] if len(files) == 1 else f"{files[0]} ... {files[-1].name}"
    typer.echo(f"{where}: {len(samples)} {NOUNS[modality]}, seed {samples[0].request.seed}")


def _recipes(
    model: "Model",
    given: dict[str, Any],
    clips: tuple[tuple[Path, ...], tuple[Path, ...]],
    count: int | None,
    balanced: bool,
    lines: Path | None,
    like: Path | None,
) -> "list[Recipe]":
    from service.commands import recipes

    if like is not None:
        return [recipes.like(model.spec, like)]
    if lines is not None:
        return recipes.from_lines(model.entry, lines)
    if count is not None:
        return recipes.counted(model.entry, given, count, balanced)
    return [recipes.recipe(model.entry, given, recipes.Clips(*clips))]


def _compare_numerics(like: Path, here: str) -> None:
    from service.media.tags import read_tags

    there = read_tags(like.read_bytes())["fingerprint"]
    if there != here:
        typer.echo(f"note: made with {there}, repeated with {here}: bytes may differ", err=True)
