"""Turns a run's checkpoint into one to ship: measured, with pictures and a model card."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.architecture import parse_architecture
from models.checkpoint import CONFIG, read_config
from models.spec import Sampling
from models.weights import load_state, save_checkpoint
from training.data.images import ImageSet
from training.evaluate.card import QUALITY, SAMPLES, card, pictures_section, quality_section, with_sections
from training.evaluate.drawing import draw_run, draw_samples
from training.evaluate.report import changed, evaluate_checkpoint
from training.evaluate.yardstick import fashion

TOKENIZER_LOSSES = ("l1", "l2", "perceptual", "codebook", "commitment", "kl")
GENERATOR_LOSSES = ("masked", "mse", "vb")
KEPT = ("data", "test", "asked", "features", "tokenizer", "real", "blurred", "samples", "count", "seed")


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
    yardstick = fashion(data_dir)
    scores = evaluate_checkpoint(out, yardstick, count, seed=0, changes={})
    describe(out, scores, yardstick.train, runs, notes)


def describe(
    place: Path, scores: dict[str, Any], pool: ImageSet, runs: Mapping[str, Path] | None = None, notes: str = ""
) -> None:
    """Write `scores` of generator `place` into its config.json, metrics.json and model card, with pictures.

    `pool`: the training images. The sections of a card that is there are replaced, the rest of it stays; with `notes`,
    how it was trained, the whole card is written anew.
    """
    config = read_config(place)
    metrics = {key: scores[key] for key in KEPT}
    config = config.model_copy(update={"metrics": metrics})
    replace_text(place / CONFIG, config.model_dump_json(indent=2, exclude_none=True) + "\n")
    replace_text(place / "metrics.json", json.dumps(scores, indent=2) + "\n")

    pictures = draw_samples(place, scores["sampling"], scores["seed"], pool)
    for name, run in (runs or {}).items():
        losses = GENERATOR_LOSSES if name == "generator" else TOKENIZER_LOSSES
        if draw_run(run, f"{name}: losses over steps", losses, place / f"curves-{name}.png"):
            pictures[f"curves-{name}.png"] = f"Losses of the {name} over its training."
    stored = asdict(parse_architecture(Sampling, config.decoding, "decoding"))
    defaults = all(stored[name] == value for name, value in scores["sampling"].items())
    sections = {SAMPLES: pictures_section(pictures), QUALITY: quality_section(scores, defaults)}
    path = place / "README.md"
    if path.is_file() and not notes:
        text = with_sections(path.read_text(encoding="utf-8"), sections)
    else:
        text = card(served_name(place), config, sections | ({"Training": notes} if notes else {}))
    replace_text(path, text)


def write_measured(place: Path, scores: Mapping[str, Any], sections: Mapping[str, str]) -> None:
    """Put `scores` into config.json and metrics.json of `place`, `sections` into its card: those of one that is there
    are replaced, the rest of it stays.
    """
    config = read_config(place).model_copy(update={"metrics": dict(scores)})
    replace_text(place / CONFIG, config.model_dump_json(indent=2, exclude_none=True) + "\n")
    replace_text(place / "metrics.json", json.dumps(scores, indent=2) + "\n")
    path = place / "README.md"
    if path.is_file():
        text = with_sections(path.read_text(encoding="utf-8"), sections)
    else:
        text = card(served_name(place), config, sections)
    replace_text(path, text)


def served_name(place: Path) -> str:
    """As the service names a checkpoint: that of a run by the run."""
    name = place.resolve().name
    return place.resolve().parent.name if name == "checkpoint" else name


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
