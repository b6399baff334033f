"""`maskserve-train evaluate` of a codec or a generator of loops."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator
from safetensors.torch import save_file

from models.captions import indices
from models.checkpoint import read_config, tokenizer_directory
from models.magnet.decoder import MAGNeTDecoder
from models.tokenizers.encodec import load_encodec
from models.tokenizers.encodec_config import KIND
from models.weights import load_state
from training.data.loops import INSTRUMENTS, RATE, render_loops
from training.data.sounds import MOST_TERMS, SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.listener import fit_listener
from training.evaluate.sampling import load_decoder
from training.evaluate.sounds import codec_scores, sample_scores, waves_of
from training.progress import counted
from training.sampled_sounds import sample_sounds
from training.sound_material import HELD_BACK, SECONDS, load_sounds
from training.stages.codec import sounds_mark
from training.where import Where

FAMILIES = (KIND, "magnet")
LISTENER = "listener"
STEPS = 600


@dataclass(frozen=True)
class Listening:
    """The options of the command. `data_dir`: where the loops of training lie, or are rendered to."""

    checkpoint: Path
    data_dir: Path
    count: int = 200
    seed: int = 0
    out: Path | None = None


def is_sound(checkpoint: Path) -> bool:
    """Raises CheckpointError."""
    return read_config(checkpoint).family in FAMILIES


def measure_sound(what: Listening) -> dict[str, Any]:
    """Scores against loops that nothing was trained on. Raises CheckpointError, MissingDataError."""
    config = read_config(what.checkpoint)
    listener = _listener(what.data_dir)
    first = 2 * what.seed * what.count
    sets = {
        name: (_loops(first, what.count, held_out), _loops(first + what.count, what.count, held_out))
        for name, held_out in (("samples", False), ("held_out_pairs", True))
    }
    codec = load_encodec(what.checkpoint if config.family == KIND else tokenizer_directory(what.checkpoint, config))
    scores: dict[str, Any] = {
        "codec": codec_scores(codec, *sets["samples"], listener),
        "codec_held_out_pairs": codec_scores(codec, *sets["held_out_pairs"], listener),
    }
    if config.family != KIND:
        decoder = cast(MAGNeTDecoder, load_decoder(what.checkpoint))
        for name, (asked, others) in sets.items():
            scores[name] = _samples(decoder, asked.captions, others, listener, what.seed)
    if what.out is not None:
        what.out.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    return scores


def _samples(
    decoder: MAGNeTDecoder, captions: tuple[str, ...], others: SoundSet, listener: Classifier, seed: int
) -> dict[str, Any]:
    """Samples for `captions`, against `others`."""
    places = {term: at for at, term in enumerate(decoder.spec.vocabulary)}
    asked = [indices(caption, places, MOST_TERMS) for caption in captions]
    made = sample_sounds(decoder, asked, decoder.spec.sampling, seed)
    return sample_scores(made, captions, waves_of(others)[..., : made.shape[-1]], listener)


def _loops(first: int, count: int, held_out: bool) -> SoundSet:
    with counted("loops to compare with", count) as tell:
        waves, captions = render_loops(HELD_BACK + first, count, SECONDS, held_out, tell)
    return SoundSet(waves, tuple(captions), RATE)


def _listener(place: Path) -> Classifier:
    """Trained once on the loops of training, and kept beside them."""
    material = load_sounds("loops", Where(place), Accelerator(cpu=True))
    file = place / LISTENER / sounds_mark(material.sounds) / "model.safetensors"
    if not file.is_file():
        with counted("the classifier that listens", STEPS) as tell:
            network = fit_listener(material.sounds, steps=STEPS, tell=tell)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), file)
    network = Classifier(len(INSTRUMENTS), 1)
    network.load_state_dict(load_state(file.parent))
    return network.eval()
