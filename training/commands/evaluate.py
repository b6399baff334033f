"""`maskserve-train evaluate`: what is measured, with what, and where the numbers go."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoint import read_config
from models.tokenizers.kinds import KINDS
from training.evaluate.extractors import choose
from training.evaluate.publish import describe
from training.evaluate.report import evaluate_checkpoint
from training.evaluate.statistics import read_statistics
from training.evaluate.yardstick import fashion, own


@dataclass(frozen=True)
class Measuring:
    """The options of the command. `data`: a folder of pictures; without it Fashion-MNIST, from `data_dir`."""

    checkpoint: Path
    data: Path | None = None
    data_dir: Path | None = None
    count: int = 10_000
    seed: int = 0
    changes: Mapping[str, str] | None = None
    features: tuple[str, ...] = ("cls",)
    features_size: int | None = None
    statistics: Path | None = None
    write: bool = False
    out: Path | None = None


def measure(what: Measuring) -> dict[str, Any]:
    """The scores, which are also written where they were asked for.

    Raises CheckpointError, MissingDataError, and ValueError for options that do not go together.
    """
    classify, extractors = choose(what.features, what.features_size)
    if what.statistics is not None and len(extractors) != 1:
        raise ValueError("--statistics belong to one extractor: give exactly one --features besides cls")
    published = None if what.statistics is None else read_statistics(what.statistics)
    if what.write and read_config(what.checkpoint).family in KINDS:
        raise ValueError("--write is for generators; a tokenizer's numbers are in the card of its generator")
    if what.data is None:
        yardstick = fashion(what.data_dir, classify)
    else:
        cache = what.checkpoint.resolve().parent / "pictures"  # where training has put them
        yardstick = own(what.checkpoint, what.data, cache, classify)
    scores = evaluate_checkpoint(
        what.checkpoint, yardstick, what.count, what.seed, what.changes or {}, extractors, published
    )
    if what.statistics is not None:
        scores["features"][extractors[0].name]["against"] = f"the statistics {what.statistics.name}"
    if what.out is not None:
        what.out.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    if what.write:
        describe(what.checkpoint, scores, yardstick.train)
    return scores
