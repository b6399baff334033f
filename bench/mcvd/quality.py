"""Steps and samplers of a trained checkpoint: time against what is seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.context import Context
from bench.mcvd.models import load
from bench.results import Table
from models.mcvd.decoder import MCVDDecoder
from training.commands.evaluate_video import judges_in
from training.data.digits import load_digits
from training.data.fashion import MissingDataError
from training.data.moving import MovingSprites
from training.evaluate.frechet import frechet_distance
from training.evaluate.videos import BLOCKS, Judges, Scene, Studio, best_of, read
from training.evaluate.watcher import watched
from training.video_material import DIGIT_SIDE, SEEDS

TITLE = "MCVD: steps against quality"
DIGITS = Path("runs/digits")
TRIALS = 3
SETTINGS: tuple[dict[str, Any], ...] = (
    *({"num_inference_steps": steps} for steps in (5, 10, 20, 50, 100)),
    *({"num_inference_steps": steps, "sampler": "ddim"} for steps in (5, 10, 20, 50)),
    *({"num_inference_steps": steps, "sampler": "ddim-clipped"} for steps in (10, 20)),
    *({"num_inference_steps": steps, "final_denoise": "official"} for steps in (10, 50)),
)
COLUMNS = [
    "steps", "sampler", "last denoising", "s a clip", "PSNR, best", "PSNR, first", "SSIM, best", "SSIM, first",
    "digits in frame 5, %", "FVD-own",
]  # fmt: skip


def run(context: Context) -> None:
    if context.checkpoint is None:
        context.say("  there is no trained checkpoint: nothing to score")
        return
    decoder = load(context.checkpoint, context.device, context.dtype)
    footage, side = decoder.footage, decoder.config.resolution
    frames = footage.past + BLOCKS * footage.block
    try:
        judges = judges_in(DIGITS, side, frames)
        sprites = load_digits("test", DIGITS).resized(DIGIT_SIDE).images
    except MissingDataError as error:
        context.say(f"  nothing to score: {error}")
        return
    measure(context, decoder, judges, MovingSprites(sprites, side, frames + footage.future, SEEDS["test"]))


def measure(context: Context, decoder: MCVDDecoder, judges: Judges, clips: MovingSprites) -> None:
    footage = decoder.footage
    longer, count = BLOCKS * footage.block, max(4, context.samples // TRIALS)
    scene = Scene.draw(clips, judges.labels, 0, count, (footage.past, longer))
    theirs = watched(judges.watcher, scene.others[:, : footage.past + longer])
    own = watched(judges.watcher, scene.seen(scene.made))
    table = Table(
        f"{decoder.spec.id}: {footage.past} -> {longer} frames, {count} clips",
        COLUMNS,
        note=f"The best of {TRIALS} trials, and the first of them. Of real clips the digits in frame {footage.block} "
        f"are read in {read(judges, scene.made, footage.block - 1, scene.digits):.1f} %; FVD-own of real clips among "
        f"each other is {frechet_distance(own, theirs):.2f}. Seconds include nothing but the decoder, 16 clips "
        "together.",
    )
    for values in SETTINGS[:2] if context.quick else SETTINGS:
        sampling = replace(decoder.spec.sampling, **values)
        taken: dict[str, float] = {}
        with context.stopwatch(taken, "s"):
            trials = Studio(decoder, sampling, 0, lambda done: None).make("prediction", scene, longer, TRIALS)
        found = best_of(trials, scene.made)
        table.rows.append(
            [
                sampling.num_inference_steps,
                sampling.sampler,
                sampling.final_denoise,
                taken["s"] / (TRIALS * count),
                *(found[name] for name in ("psnr_best", "psnr_first", "ssim_best", "ssim_first")),
                read(judges, trials[0], footage.block - 1, scene.digits),
                frechet_distance(watched(judges.watcher, scene.seen(trials[0])), theirs),
            ]
        )
        context.say(f"  {table.rows[-1]}")
    context.add(table)
