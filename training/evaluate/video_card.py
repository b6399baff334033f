"""What `evaluate --write` leaves in the checkpoint of a generator of clips: numbers, contact sheets, films."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from PIL import Image, ImageDraw

from models.spec import Footage
from training.evaluate.card import QUALITY, SAMPLES
from training.evaluate.publish import write_measured

PICTURE, EXAMPLE = "samples.png", "example.zip"
ROWS = 4
GAP, TITLE = 6, 16
GIVEN, MADE = (120, 120, 120), (230, 130, 30)
BAR = 3  # pixels, above each frame


def describe_clips(place: Path, scores: Mapping[str, Any], made: Mapping[str, np.ndarray], footage: Footage) -> None:
    """Write `scores` into config.json, metrics.json and the model card of `place`, and clips uint8 [N, n, S, S, C] that
    were `made` for each task beside it. Sections of a card that is there are replaced, the rest of it stays.
    """
    contact_sheet(made, footage, place / PICTURE)
    if "prediction" in made:
        zip_frames(made["prediction"][0][: footage.past], place / EXAMPLE)
    sections = {
        SAMPLES: f"![Clips]({PICTURE})\n\nFor each task {ROWS} clips, one seed each, not chosen; frames under a grey "
        f"bar were given, those under an orange one made. [{EXAMPLE}]({EXAMPLE}) has frames to go on from.",
        QUALITY: quality(scores),
    }
    write_measured(place, scores, sections)


def zip_frames(frames: np.ndarray, path: Path) -> None:
    """A PNG for each, as uploads may be."""
    with ZipFile(path, "w", ZIP_STORED) as folder:
        for at, frame in enumerate(frames):
            with folder.open(f"{at:04}.png", "w") as file:
                Image.fromarray(frame.squeeze()).save(file, "PNG")


def contact_sheet(made: Mapping[str, np.ndarray], footage: Footage, path: Path) -> None:
    """The first clips of every task, a row each."""
    side = next(iter(made.values())).shape[2]
    columns = max(clips.shape[1] for clips in made.values())
    height = sum(TITLE + min(ROWS, len(clips)) * (side + GAP + BAR) for clips in made.values())
    sheet = Image.new("RGB", (columns * (side + 2), height), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for task, clips in made.items():
        pen.text((2, top + 2), task, fill="black")
        top += TITLE
        given = given_of(task, clips.shape[1], footage)
        for clip in clips[:ROWS]:
            for at, frame in enumerate(clip):
                left = at * (side + 2)
                pen.rectangle((left, top, left + side - 1, top + BAR - 1), fill=GIVEN if given[at] else MADE)
                sheet.paste(Image.fromarray(frame.squeeze()), (left, top + BAR))
            top += side + GAP + BAR
    sheet.save(path, optimize=True)


def given_of(task: str, count: int, footage: Footage) -> np.ndarray:
    """Which frames of a clip were given, bool [count]."""
    at = np.arange(count)
    before, behind = at < footage.past, at >= count - footage.future
    return {"prediction": before, "interpolation": before | behind, "past": behind}.get(task, np.zeros(count, bool))


def quality(scores: Mapping[str, Any]) -> str:
    """The numbers of `measure_video`."""
    rows = [_row(task, scores[task]) for task in ("prediction", "interpolation", "past") if task in scores]
    steps, sampler = scores["sampling"]["num_inference_steps"], scores["sampling"]["sampler"]
    parts = [
        f"""{scores["count"]} clips of digits that nothing was trained on, {steps} steps a block, sampler {sampler}:

| task | frames | PSNR, dB, best of k / first | SSIM, best of k / first | k | without a model: PSNR / SSIM |
|---|---|---|---|---|---|
{chr(10).join(rows)}

PSNR is that of the mean squared error over all frames made, SSIM that of frames in black and white; the best are
chosen apart for each clip. The published protocol has 256 clips."""
    ]
    if "prediction" in scores:
        found = scores["prediction"]
        read = {name.removeprefix("digits_frame_"): value for name, value in found.items() if name.startswith("digits")}
        said = ", ".join(
            f"{value:.1f} % in frame {at} (real ones {read[f'{at}_real']:.1f} %)"
            for at, value in read.items()
            if not at.endswith("_real")
        )
        parts.append(f"Both digits are what they were, read by a classifier, first trial: {said}.")
    own = [f"{task} {scores[task]['fvd_own']:.2f}" for task in ("prediction", "unconditional") if task in scores]
    if own:
        floor = next(scores[task]["fvd_own_floor"] for task in ("prediction", "unconditional") if task in scores)
        parts.append(
            f"FVD-own, the Fréchet distance of 128 features of a small 3-D network that tells digits and speeds: "
            f"{', '.join(own)}; real clips among each other {floor:.2f}; {scores['count']} "
            "clips on either side, fewer than features, so that all of them are high."
        )
    options = {name: scores[name] for name in ("count", "trials", "seed")}
    said = " ".join(f"--{name} {value}" for name, value in options.items())
    parts.append(f"Repeat with `maskserve-train evaluate CHECKPOINT --data-dir DIGITS {said}`.")
    return "\n\n".join(parts)


def _row(task: str, found: Mapping[str, Any]) -> str:
    without = "; ".join(
        f"{name.replace('_', ' ')} {one['psnr']:.2f} / {one['ssim']:.3f}" for name, one in found["baselines"].items()
    )
    cells = [
        task,
        found["frames"],
        f"{found['psnr_best']:.2f} / {found['psnr_first']:.2f}",
        f"{found['ssim_best']:.3f} / {found['ssim_first']:.3f}",
        str(found["trials"]),
        without,
    ]
    return f"| {' | '.join(cells)} |"
