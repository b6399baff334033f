"""What a run is told: places, devices, and what it trains on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.checkpoint import DataSource
from training.data.images import ImageSet


@dataclass(frozen=True)
class Where:
    """Places and devices of a run. `resume` continues a state that is there; otherwise it is deleted."""

    out: Path
    data_dir: Path | None = None
    tokenizer: Path | None = None
    resume: bool = True
    device: str = "cpu"
    stop_at: int | None = None
    init_from: Path | None = None  # a generator to start from


@dataclass(frozen=True)
class Material:
    """What is trained on, and what the checkpoint says of it."""

    images: ImageSet
    source: DataSource
    facts: Mapping[str, Any] = field(default_factory=dict)  # into `training` of config.json
