"""What listens to loops: a small classifier of instruments over mel spectrograms, and a count of beats.

Distances between its 128 penultimate features are FAD-cls: they compare with nothing but each other.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.loops import INSTRUMENTS, RATE, TEMPI
from training.data.sounds import SoundSet
from training.evaluate.classifier import Classifier
from training.objectives.spectra import magnitudes, mels

WINDOW = 512
RANGE = 8.0  # in powers of e below the loudest
ONSET_WINDOW = 256
ONSETS_PER_SECOND = RATE / (ONSET_WINDOW // 4)
PART = 64


def pictures_of(waves: Tensor) -> Tensor:
    """float32 [B, 1, N] -> what the classifier sees, [B, 1, 64, T] in [0, 1]."""
    levels = mels(waves, RATE, WINDOW).clamp(min=1e-6).log()
    top = levels.amax(dim=(1, 2), keepdim=True)
    return (1.0 + (levels - top) / RANGE).clamp(0.0, 1.0).unsqueeze(1)


def instrument_labels(captions: tuple[str, ...]) -> Tensor:
    """Which of INSTRUMENTS each caption names, [N]."""
    names = list(INSTRUMENTS)
    return torch.tensor([names.index(caption.split()[0]) for caption in captions])


def fit_listener(
    data: SoundSet, *, steps: int = 600, batch: int = 32, seed: int = 0, tell: Callable[[int], None] = lambda done: None
) -> Classifier:
    """Trained on crops of two seconds at any loudness, with some noise."""
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network, labels = Classifier(len(INSTRUMENTS), 1), instrument_labels(data.captions)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    length = min(2 * RATE, data.waves.shape[1])
    network.train()
    for _ in range(steps):
        rows = torch.randint(len(data), (batch,), generator=draws)
        begins = torch.randint(data.waves.shape[1] - length + 1, (batch,), generator=draws)
        waves = data.crops(rows, begins, length)
        noise = 0.01 * torch.rand(batch, 1, 1, generator=draws) * torch.randn(waves.shape, generator=draws)
        loss = F.cross_entropy(network(pictures_of(waves + noise)), labels[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        tell(1)
    return network.eval()


@torch.no_grad()
def listen(network: Classifier, waves: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 1, S] -> features float64 [N, 128], and the likeliest instrument of each [N]."""
    features, heard = [], []
    for part in waves.split(PART):
        found = network.features(pictures_of(part))
        features.append(found.double())
        heard.append(network.out(found).argmax(dim=-1))
    return torch.cat(features), torch.cat(heard)


def tempo_of(wave: Tensor) -> float:
    """Beats a minute of one loop [1, S]: the period of its onsets that explains them best, near one of TEMPI.

    Onsets are rises of the spectrum. A loop plays eighths, so a lag of half a beat is where they repeat first; of two
    tempi of which one is twice the other the faster is meant if onsets lie at its eighths, too.
    """
    strength = onsets(wave)
    found = {tempo: _best(strength, tempo) for tempo in TEMPI}
    most = max(score for score, _ in found.values())
    near = [tempo for tempo in TEMPI if found[tempo][0] >= min(0.8 * most, most)]  # without any onsets most is negative
    best = max(near, key=lambda tempo: (any(2 * slow == tempo for slow in near), found[tempo][0]))
    return found[best][1]


def onsets(wave: Tensor) -> np.ndarray:
    """Strength [T] of what begins, without its mean."""
    levels = magnitudes(wave.unsqueeze(0), ONSET_WINDOW)[0].clamp(min=1e-4).log()
    rises = levels.diff(dim=-1).clamp(min=0).mean(dim=0)
    return np.asarray((rises - rises.mean()).numpy())


def _best(strength: np.ndarray, tempo: int) -> tuple[float, float]:
    """How well onsets repeat after one, two and four eighths of a tempo near `tempo`, and that tempo."""
    energy = float((strength**2).sum()) + 1e-9
    tried = []
    for change in np.linspace(0.94, 1.06, 49):
        eighth = 30.0 / (tempo * change) * ONSETS_PER_SECOND
        lags = [round(eighth * times) for times in (1, 2, 4)]
        score = np.mean(
            [float((strength[lag:] * strength[:-lag]).sum()) / energy for lag in lags if lag < len(strength)]
        )
        tried.append((float(score), float(tempo * change)))
    return max(tried)


def tempo_agrees(found: float, said: int, tolerance: float = 0.04) -> bool:
    return abs(found - said) <= tolerance * said


def said_tempo(caption: str) -> int:
    return int(caption.split(", ")[1].split()[0])


def pairs_said(captions: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(caption.split()[0], said_tempo(caption)) for caption in captions]


ALL_PAIRS = tuple(product(INSTRUMENTS, TEMPI))
