"""Sounds to train on, by the name that recipes use: rendered once, then mapped from the run directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from models.checkpoint import DataSource
from training.data.loops import EDITION, RATE, Renderer, find_font, render_loops
from training.data.sounds import SoundSet
from training.progress import counted
from training.where import Where

WAVES, CAPTIONS = "sounds.npy", "captions.json"
COUNTS: Mapping[str, int] = {"loops": 6000, "tiny-loops": 24}
SECONDS = 4.0
HELD_BACK = 1 << 24  # seeds from here on are for tests


@dataclass(frozen=True)
class SoundMaterial:
    """What is trained on, and what the checkpoint says of it."""

    sounds: SoundSet
    source: DataSource


def load_sounds(name: str, where: Where, accelerator: Accelerator) -> SoundMaterial:
    """Raises ValueError for an unknown name, or where others lie, MissingDataError where no SoundFont is installed."""
    if name not in COUNTS:
        raise ValueError(f"sounds {name!r} are not one of {', '.join(COUNTS)}")
    place = where.data_dir or where.out
    if accelerator.is_main_process and not (place / CAPTIONS).is_file():
        _render(place, name)
    accelerator.wait_for_everyone()
    waves = np.load(place / WAVES, mmap_mode="r")
    told = json.loads((place / CAPTIONS).read_text(encoding="utf-8"))
    if told.get("name", name) != name:
        raise ValueError(f"{place} holds the sounds {told['name']!r}, not {name!r}")
    if told.get("edition") != EDITION:
        raise ValueError(f"{place} holds loops that are played in another way by now: take them away")
    return SoundMaterial(SoundSet(waves, tuple(told["captions"]), RATE), source(told["font"]))


def _render(place: Path, name: str) -> None:
    count = COUNTS[name]
    font = find_font()
    Renderer(font)  # complains before anything is written
    place.mkdir(parents=True, exist_ok=True)
    with counted("loops", count) as tell:
        waves, captions = render_loops(0, count, SECONDS, tell=tell)
    np.save(place / WAVES, waves)
    told = {"name": name, "edition": EDITION, "captions": captions, "font": font.resolve().name}
    (place / CAPTIONS).write_text(json.dumps(told), encoding="utf-8")


def source(font: str) -> DataSource:
    fluid = font.startswith("FluidR3")
    return DataSource(
        name=f"loops drawn in code, rendered with {font}",
        licence="MIT" if fluid else "see the SoundFont",
        credit="FluidR3 by Frank Wen, mono version by Michael Cowgill" if fluid else font,
    )
