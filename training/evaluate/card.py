"""The model card: README.md with pictures, built from what a run and its evaluation left behind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import CheckpointConfig
from training.curves import draw_curves, smoothed
from training.evaluate.neighbours import nearest
from training.journal import read_journal
from training.pictures import grid, save_png


def draw_run(run: Path, title: str, names: Sequence[str], path: Path) -> bool:
    """Curves of `loss/NAME` entries of a run directory; False when it has too few entries."""
    journal = read_journal(run)
    curves = {
        name: smoothed([(e["step"], e[f"loss/{name}"]) for e in journal if f"loss/{name}" in e]) for name in names
    }
    drawn = {name: points for name, points in curves.items() if len(points) > 1}
    if drawn:
        draw_curves(title, drawn, path)
    return bool(drawn)


def draw_neighbours(samples: Tensor, pool: Tensor, path: Path) -> None:
    """Samples [N, C, H, W] in rows of ten, under each the training image closest in pixels."""
    found = pool[nearest(samples, pool)]
    pairs = zip(samples.split(10), found.split(10), strict=True)
    save_png(grid(torch.cat([row for pair in pairs for row in pair]), 10), path, scale=2)


def card(name: str, config: CheckpointConfig, scores: dict[str, Any], notes: str, pictures: Sequence[str]) -> str:
    """The text of README.md. `scores` is what `evaluate_checkpoint` returned."""
    tokens, real, blurred, made, how = (scores[key] for key in ("tokenizer", "real", "blurred", "samples", "sampling"))
    floor, rfid, fid = tokens["fid_floor"], tokens["rfid_cls"], made["fid_cls"]
    right = [tokens["accuracy_real"], tokens["accuracy_reconstructed"], made["accuracy"]]
    source = config.data[0]
    recipe, codes = config.training["recipe"], config.architecture["codebook_size"]
    shown = "\n\n".join(f"![{Path(file).stem}]({file})" for file in pictures)
    manifold = "\n".join(
        f"| {word} | {real[word]:.3f} | | {made[word]:.3f} | {blurred[word]:.3f} |"
        for word in ("precision", "recall", "density", "coverage")
    )
    return f"""# {name}

Class-conditional MaskGIT over the tokens of a VQGAN; trained by `maskserve-train`, recipe `{recipe}`.
Classes: {", ".join(config.classes)}.

{shown}

## Quality

Distances are Fréchet distances between 128 penultimate features of our own classifier
(`training/evaluate/weights`, {right[0]:.1f} % on the test split), *not* Inception features: they compare
with nothing but each other. Each compares {scores["count"]:,} images with the 10,000 test images; the floor
takes training images, rFID-cls their reconstructions.

| | distance |
|---|---|
| real against real (floor) | {floor:.3f} |
| reconstructions (rFID-cls) | {rfid:.3f} = {rfid / floor:.1f} x floor (paired form: {tokens["rfid_cls_paired"]:.3f}) |
| samples (FID-cls) | {fid:.3f} = {fid / rfid:.1f} x rFID-cls |
| training images at half resolution (control) | {blurred["fid_cls"]:.3f} |

| | real | reconstructed | samples | half resolution |
|---|---|---|---|---|
| classifier agrees (%) | {right[0]:.1f} | {right[1]:.1f} | {right[2]:.1f} | {blurred["accuracy"]:.1f} |
{manifold}
| kernel distance x 1000 | {real["kid_cls"]:.2f} | | {made["kid_cls"]:.2f} | {blurred["kid_cls"]:.2f} |

"Real" is the test split for the classifier, training images against test images for the rest (k = 5). Samples have the
seeds {scores["seed"]} to {scores["seed"] + scores["count"] - 1}.
Tokenizer: PSNR {tokens["psnr"]:.1f} dB, SSIM {tokens["ssim"]:.3f}, {100 * tokens["codebook_usage"]:.0f} % of the codes
in use, perplexity {tokens["codebook_perplexity"]:.0f} of {codes}.

Samples: {_sampling(how)}. These are the checkpoint's defaults.
Repeat with `maskserve-train evaluate checkpoints/{name}`.

## Training

{notes}

## Data and licence

{source.name}: {source.credit}; licence {source.licence}. Weights: {config.licence}.
"""


def _sampling(how: dict[str, Any]) -> str:
    words = [f"{key} {value}" for key, value in how.items() if value not in (False, 0, "constant", "joint")]
    return ", ".join(words)
