"""A checkpoint of stripes: its only weights are a palette."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

CLASSES = ("horizontal", "vertical", "diagonal")
PALETTE = np.array(
    [[20, 20, 20], [230, 60, 50], [250, 160, 40], [250, 230, 80], [70, 170, 90], [50, 110, 220], [130, 70, 180]],
    dtype=np.uint8,
)


def write(directory: Path, side: int = 8, cell: int = 4, step_seconds: float = 0.0) -> Path:
    """`side` x `side` tokens of `cell` x `cell` pixels; a forward lasts at least `step_seconds`."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "format": 1,
        "family": "toy-stripes",
        "architecture": {"side": side, "cell": cell, "step_seconds": step_seconds},
        "classes": list(CLASSES),
        "decoding": {"num_inference_steps": 8},
        "quality": {"low": 2, "medium": 8, "high": 16},
        "licence": "Apache-2.0",
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({"palette": PALETTE}, directory / "model.safetensors")
    (directory / "README.md").write_text("# Stripes\n\nDrawn by a rule, not trained.\n", encoding="utf-8")
    return directory


def palette(directory: Path) -> np.ndarray:
    """uint8 [V, 3]"""
    return load_file(directory / "model.safetensors")["palette"]
