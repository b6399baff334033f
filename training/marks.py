"""What a run directory is a run of: so that old tokens and weights never meet other pictures or another network."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.checkpoint import read_config, weight_files
from training.data.images import ImageSet

FILE = "run.json"
OWN = (  # what a run writes, and may delete
    *("state.pt", "state.pt.new", "metrics.jsonl", "tokens.safetensors", "perceptual.safetensors", FILE),
    *("samples", "tensorboard", "checkpoint", "tokenizer", "tokenizer-imported", "refine"),
)


class OtherRun(ValueError):
    """The directory holds a run of something else; one line that says of what."""


def data_mark(data: ImageSet) -> str:
    """Changes with the number, the labels and - looked at 256 of them - the pixels of the pictures."""
    digest = hashlib.blake2b(repr(tuple(data.images.shape)).encode(), digest_size=12)
    digest.update(data.labels.numpy().tobytes())
    digest.update(data.images[:: max(1, len(data) // 256)].contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_mark(checkpoint: Path) -> str:
    """Changes with the sizes and the weights of a checkpoint directory, not with what its config.json says besides.
    Raises CheckpointError.
    """
    digest = hashlib.blake2b(repr(sorted(read_config(checkpoint).architecture.items())).encode(), digest_size=12)
    for path in weight_files(checkpoint):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Note what `out` is a run of, or compare with what was noted. Raises OtherRun."""
    path, mine = out / FILE, json.loads(json.dumps(facts))
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = None
    if noted is None:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(mine, indent=1), encoding="utf-8")
        return
    differing = [key for key in mine if noted.get(key) != mine[key]]
    if differing:
        raise OtherRun(
            f"{out} holds a run with another {' and '.join(differing)}: use --fresh to start over, or another --out"
        )


def clear(out: Path, needed: Mapping[str, Path | None]) -> None:
    """Delete what a run has written to `out`, and nothing else.

    `needed`: option -> folder that the new run reads. Raises ValueError where one of them would go, too.
    """
    for option, place in needed.items():
        if place is not None and any(place.resolve().is_relative_to((out / name).resolve()) for name in OWN):
            raise ValueError(f"--fresh would delete {option} {place}: give it another place first")
    for name in OWN:
        place = out / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
