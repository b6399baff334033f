"""Loops to compare with, and what listens to them."""

from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from models.weights import load_state
from training.data.loops import INSTRUMENTS, RATE, render_loops
from training.data.sounds import SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.listener import fit_listener
from training.progress import counted
from training.sound_material import HELD_BACK, SECONDS, load_sounds
from training.stages.codec import sounds_mark
from training.where import Where

LISTENER = "listener"
STEPS = 300


def unheard(first: int, count: int, held_out: bool = False) -> SoundSet:
    """Loops that nothing was trained on: of pairs of instrument and tempo that were, or of the others. Raises
    MissingDataError.
    """
    with counted("loops to compare with", count) as tell:
        waves, captions = render_loops(HELD_BACK + first, count, SECONDS, held_out, tell)
    return SoundSet(waves, tuple(captions), RATE)


def training_loops(place: Path) -> SoundSet:
    """Those of `place`, rendered if there are none. Raises MissingDataError."""
    return load_sounds("loops", Where(place), Accelerator(cpu=True)).sounds


def listener_in(place: Path) -> Classifier:
    """Trained once on the loops of training in `place`, and kept beside them. Raises MissingDataError."""
    sounds = training_loops(place)
    file = place / LISTENER / sounds_mark(sounds) / "model.safetensors"
    if not file.is_file():
        with counted("the classifier that listens", STEPS) as tell:
            network = fit_listener(sounds, steps=STEPS, tell=tell)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), file)
    network = Classifier(len(INSTRUMENTS), 1)
    network.load_state_dict(load_state(file.parent))
    return network.eval()
