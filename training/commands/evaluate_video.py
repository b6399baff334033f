"""`maskserve-train evaluate` of a generator of clips of digits."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import save_file

from models.architecture import parse_architecture
from models.checkpoint import read_config
from models.mcvd.decoder import MCVDDecoder
from models.mcvd.family import FAMILY
from models.spec import Sampling
from models.weights import load_state
from training.data.digits import load_digits
from training.data.moving import MovingSprites
from training.evaluate.report import changed
from training.evaluate.sampling import load_decoder
from training.evaluate.video_card import describe_clips
from training.evaluate.videos import BLOCKS, Judges, Studio, clip_scores
from training.evaluate.watcher import READER_STEPS, WATCHER_STEPS, Reader, Watcher, fit_reader, fit_watcher
from training.progress import counted
from training.video_material import DIGIT_SIDE, DIGITS, SEEDS

JUDGES = "judges"
VERSION = 1  # of how they are trained
SEED = 3  # of the clips that the judges learn from


@dataclass(frozen=True)
class Watching:
    """The options of the command. data_dir: where the digits lie; `judges` are kept beside them."""

    checkpoint: Path
    data_dir: Path
    count: int = 64
    trials: int = 10
    seed: int = 0
    changes: Mapping[str, str] | None = None
    write: bool = False
    out: Path | None = None


def is_video(checkpoint: Path) -> bool:
    """Raises CheckpointError."""
    return read_config(checkpoint).family == FAMILY


def measure_video(what: Watching) -> dict[str, Any]:
    """Scores on clips of digits that nothing was trained on. Raises CheckpointError, MissingDataError, ValueError."""
    config = read_config(what.checkpoint)
    if DIGITS.name not in [source.name for source in config.data]:
        raise ValueError(f"{what.checkpoint} was not trained on {DIGITS.name}: there is nothing to compare it with")
    decoder = load_decoder(what.checkpoint)
    assert isinstance(decoder, MCVDDecoder)
    stored = {name: value for name, value in asdict(decoder.spec.sampling).items() if name in decoder.spec.parameters}
    sampling = parse_architecture(Sampling, stored | changed(what.changes or {}), "decoding")
    frames = decoder.footage.past + BLOCKS * decoder.footage.block
    clips = _drawn("test", decoder.config.resolution, frames + decoder.footage.future, SEEDS["test"], what.data_dir)
    judges = judges_in(what.data_dir, decoder.config.resolution, frames)
    scores: dict[str, Any] = {
        "count": what.count,
        "seed": what.seed,
        "trials": what.trials,
        "sampling": {name: value for name, value in asdict(sampling).items() if name in decoder.spec.parameters},
    }
    with counted("clips", None) as tell:
        studio = Studio(decoder, sampling, what.seed, tell)
        made = {}
        first = 2 * what.seed * what.count
        for task, numbers, whole in clip_scores(studio, clips, judges, what.count, what.trials, first):
            scores[task], made[task] = numbers, whole
    if what.out is not None:
        what.out.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    if what.write:
        describe_clips(what.checkpoint, scores, made, decoder.footage)
    return scores


def judges_in(place: Path, resolution: int, frames: int) -> Judges:
    """Trained once on the digits of training, and kept beside them; `frames` of a clip are watched."""
    digits = load_digits("train", place)
    labels = load_digits("test", place).labels
    known = place / JUDGES / f"{VERSION}-{resolution}-{frames}"
    if not known.is_dir():
        clips = _drawn("train", resolution, frames, SEED, place)
        with counted("the network that reads digits", READER_STEPS) as tell:
            reader = fit_reader(replace(clips, frames=1), digits.labels, tell=tell)
        with counted("the network that watches clips", WATCHER_STEPS) as tell:
            watcher = fit_watcher(clips, digits.labels, tell=tell)
        known.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=known.parent) as scratch:
            whole = Path(scratch) / known.name
            for name, network in {"reader": reader, "watcher": watcher}.items():
                (whole / name).mkdir(parents=True)
                save_file(network.state_dict(), whole / name / "model.safetensors")
            whole.rename(known)
    reader, watcher = Reader(), Watcher()
    reader.load_state_dict(load_state(known / "reader"))
    watcher.load_state_dict(load_state(known / "watcher"))
    return Judges(reader.eval(), watcher.eval(), labels)


def _drawn(split: str, side: int, frames: int, seed: int, place: Path) -> MovingSprites:
    sprites = load_digits(split, place).resized(DIGIT_SIDE).images
    return MovingSprites(sprites, side, frames, seed)
