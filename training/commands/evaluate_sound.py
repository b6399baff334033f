"""`maskserve-train evaluate` of a codec, a generator of loops, or its autoregressive twin."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models.architecture import parse_architecture
from models.captions import indices
from models.checkpoint import CheckpointConfig, read_config, tokenizer_directory
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import TWIN_FAMILY
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.family import FAMILY
from models.magnet.network import MAGNeT
from models.spec import Sampling
from models.tokenizers.codec import Codec
from models.tokenizers.codecs import CODECS, load_codec
from models.weights import load_module
from training.data.loops import RATE
from training.data.sounds import MOST_TERMS, SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.loops import listener_in, training_loops, unheard
from training.evaluate.nearest import nearest_loops
from training.evaluate.report import changed
from training.evaluate.sampling import load_decoder
from training.evaluate.sound_card import Shown, describe_sounds
from training.evaluate.sounds import codec_scores, rebuilt, sample_scores, waves_of
from training.sampled_sounds import begin_sounds, manner_of, sample_sounds

FAMILIES = (*CODECS, FAMILY, TWIN_FAMILY)
SHOWN = 6
Make = Callable[[list[tuple[int, ...]], int], Tensor]  # terms of every sound, first seed -> waves [N, 1, S]


@dataclass(frozen=True)
class Listening:
    """The options of the command. `data_dir`: where the loops of training lie, or are rendered to."""

    checkpoint: Path
    data_dir: Path
    count: int = 200
    seed: int = 0
    changes: Mapping[str, str] | None = None  # of sampling values
    write: bool = False
    out: Path | None = None


def is_sound(checkpoint: Path) -> bool:
    """Raises CheckpointError."""
    return read_config(checkpoint).family in FAMILIES


def measure_sound(what: Listening) -> dict[str, Any]:
    """Scores against loops that nothing was trained on. Raises CheckpointError, MissingDataError."""
    config = read_config(what.checkpoint)
    if what.write and config.family != FAMILY:
        raise ValueError("--write is for generators; a codec's numbers are in the card of its generator")
    listener = listener_in(what.data_dir)
    first = 2 * what.seed * what.count
    sets = {
        name: (unheard(first, what.count, held_out), unheard(first + what.count, what.count, held_out))
        for name, held_out in (("samples", False), ("held_out_pairs", True))
    }
    codec = load_codec(what.checkpoint if config.family in CODECS else tokenizer_directory(what.checkpoint, config))
    scores: dict[str, Any] = {
        "codec": codec_scores(codec, *sets["samples"], listener),
        "codec_held_out_pairs": codec_scores(codec, *sets["held_out_pairs"], listener),
    }
    if config.family not in CODECS:
        make, how = _maker(what.checkpoint, config, codec, what.changes or {})
        scores["sampling"] = how
        for name, (asked, others) in sets.items():
            scores[name], made = _samples(make, config, asked.captions, others, listener, what.seed)
            if name == "samples":
                scores["nearest_training_loop"] = nearest_loops(made, training_loops(what.data_dir), listener)
                shown = _shown(asked, codec, made)
    if what.out is not None:
        what.out.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    if what.write:
        describe_sounds(what.checkpoint, scores, shown, RATE)
    return scores


def _shown(asked: SoundSet, codec: Codec, made: Tensor) -> list[Shown]:
    """The first sound of each of some instruments."""
    firsts = {caption.split()[0]: at for at, caption in reversed(list(enumerate(asked.captions)))}
    rows = sorted(firsts.values())[:SHOWN]
    real = waves_of(asked)[rows][..., : made.shape[-1]]
    again, _ = rebuilt(codec, real)
    return [Shown(asked.captions[row], *waves) for row, *waves in zip(rows, real, again, made[rows], strict=True)]


def _maker(
    place: Path, config: CheckpointConfig, codec: Codec, changes: Mapping[str, str]
) -> tuple[Make, dict[str, Any]]:
    """By the generator as it is served, or by a twin alone; and how. ValueError for a sampling value that is none."""
    values = changed(changes)
    if config.family == TWIN_FAMILY:
        twin = load_module(MAGNeT(MAGNeTConfig.from_dict(config.architecture)), place).eval()
        manner = manner_of(parse_architecture(Sampling, dict(config.decoding) | values, "decoding"))
        return lambda asked, seed: begin_sounds(twin, codec, asked, manner, seed), asdict(manner)
    decoder = load_decoder(place)
    assert isinstance(decoder, MAGNeTDecoder)
    if "codebook_steps" in values:
        values["num_inference_steps"] = sum(values["codebook_steps"])
    stored = {name: value for name, value in asdict(decoder.spec.sampling).items() if name in decoder.spec.parameters}
    sampling = parse_architecture(Sampling, stored | values, "decoding")
    how = {name: value for name, value in asdict(sampling).items() if name in decoder.spec.parameters}
    return lambda asked, seed: sample_sounds(decoder, asked, sampling, seed), how


def _samples(
    make: Make,
    config: CheckpointConfig,
    captions: tuple[str, ...],
    others: SoundSet,
    listener: Classifier,
    seed: int,
) -> tuple[dict[str, Any], Tensor]:
    """Samples for `captions`, against `others`."""
    places = {term: at for at, term in enumerate(config.vocabulary)}
    made = make([indices(caption, places, MOST_TERMS) for caption in captions], seed)
    return sample_scores(made, captions, waves_of(others)[..., : made.shape[-1]], listener), made
