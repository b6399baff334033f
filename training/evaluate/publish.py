"""Turns a run's checkpoint into one to ship: measured, with pictures and a model card."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.architecture import parse_architecture
from models.checkpoint import read_config
from models.spec import Sampling
from models.weights import load_state, save_checkpoint
from training.data import load
from training.evaluate.card import card, draw_neighbours, draw_run
from training.evaluate.metrics import balanced_labels
from training.evaluate.report import changed, evaluate_checkpoint, load_pair
from training.evaluate.sampling import sample_images, wrap
from training.evaluate.yardstick import fashion
from training.pictures import grid, save_png

TOKENIZER_LOSSES = ("l1", "l2", "perceptual", "codebook", "commitment")


def publish(
    source: Path,
    out: Path,
    runs: Mapping[str, Path],
    notes: str,
    changes: Mapping[str, str],
    data_dir: Path | None = None,
    count: int = 10_000,
) -> None:
    """Copy checkpoint `source` to `out`, store sampling `changes` as its defaults, measure it and write its card.

    `runs` names the run directories whose curves are shown: `tokenizer`, `decoder`, `generator`.
    """
    shutil.copytree(source, out, dirs_exist_ok=True)
    config = read_config(out)
    decoding = dict(config.decoding) | changed(changes)
    config = config.model_copy(update={"decoding": decoding})
    save_checkpoint(out, config, load_state(out))
    scores = evaluate_checkpoint(out, fashion(data_dir), count, seed=0, changes={})
    describe(out, scores, runs, notes, data_dir)


def describe(
    out: Path, scores: dict[str, Any], runs: Mapping[str, Path], notes: str, data_dir: Path | None = None
) -> None:
    """Write `scores` into config.json and metrics.json of checkpoint `out`, and draw and write its model card."""
    config = read_config(out)
    metrics = {key: scores[key] for key in ("tokenizer", "real", "blurred", "samples", "count", "seed")}
    config = config.model_copy(update={"metrics": metrics})
    save_checkpoint(out, config, load_state(out))

    pictures = ["samples.png", "neighbours.png"]
    network, tokenizer = load_pair(out)
    sampling = parse_architecture(Sampling, config.decoding, "decoding")
    labels = balanced_labels(len(config.classes), 10 * len(config.classes))
    images = sample_images(wrap(network, tokenizer, sampling), labels, sampling, seed=0)
    save_png(grid(images, len(config.classes)), out / pictures[0], scale=2)
    draw_neighbours(images[:30], load("fashion", "train", data_dir).images, out / pictures[1])
    for name, run in runs.items():
        losses = ("masked",) if name == "generator" else TOKENIZER_LOSSES
        if draw_run(run, f"{name}: losses over steps", losses, out / f"curves-{name}.png"):
            pictures.append(f"curves-{name}.png")
    (out / "README.md").write_text(card(out.name, config, scores, notes, pictures), encoding="utf-8")
    (out / "metrics.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
