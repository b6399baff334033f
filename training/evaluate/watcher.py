"""What watches clips of digits: a reader of single frames, and a network over frames whose features compare clips.

Distances between its 128 penultimate features are FVD-own: they compare with nothing but each other.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.moving import MovingSprites

DIGITS = 10
SEEN = 32  # pixels a side
PART = 64
M = TypeVar("M", bound=nn.Module)
READER_STEPS, WATCHER_STEPS = 2000, 1500


def frames_of(clips: np.ndarray) -> Tensor:
    """uint8 [N, n, S, S, 1] -> what is looked at, float32 [N, n, 32, 32] in [0, 1]."""
    seen = torch.from_numpy(clips)[..., 0].float() / 255.0
    return F.adaptive_avg_pool2d(seen, SEEN)


class Reader(nn.Module):
    """Which digits a frame shows: [B, 1, 32, 32] -> logits [B, 10], one for each that may be there."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, width in zip((1, *widths), widths, strict=False):
            layers += [
                *_mixed(nn.Conv2d, nn.BatchNorm2d, inside, width),
                *_mixed(nn.Conv2d, nn.BatchNorm2d, width, width),
            ]
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1], DIGITS)

    def forward(self, frames: Tensor) -> Tensor:
        return cast(Tensor, self.out(F.dropout(self.trunk(frames).amax(dim=(2, 3)), 0.2, self.training)))


class Watcher(nn.Module):
    """Which digits a clip shows, and how fast they move: [B, n, 32, 32] -> logits and pixels a frame, [B, 11]."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for at, (inside, width) in enumerate(zip((1, *widths), widths, strict=False)):
            layers += _mixed(nn.Conv3d, nn.BatchNorm3d, inside, width, stride=(1 if at == 0 else 2, 2, 2))
        self.trunk = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1], DIGITS + 1)

    def features(self, clips: Tensor) -> Tensor:
        """[B, n, 32, 32] -> [B, 128]."""
        return cast(Tensor, self.trunk(clips.unsqueeze(1)).mean(dim=(2, 3, 4)))

    def forward(self, clips: Tensor) -> Tensor:
        return cast(Tensor, self.out(self.features(clips)))


def _mixed(
    conv: type[nn.Module], norm: type[nn.Module], inside: int, width: int, stride: int | tuple[int, ...] = 1
) -> list[nn.Module]:
    return [conv(inside, width, 3, padding=1, stride=stride, bias=False), norm(width), nn.ReLU()]


def shown(clips: MovingSprites, labels: np.ndarray, index: int) -> Tensor:
    """Which digits a clip has: float32 [10]."""
    there = torch.zeros(DIGITS)
    there[torch.from_numpy(labels[clips.which(index)])] = 1.0
    return there


def fit_reader(
    clips: MovingSprites, labels: np.ndarray, steps: int = READER_STEPS, tell: Callable[[int], None] = lambda n: None
) -> Reader:
    """Trained on the first frames of clips, whose `labels` are those of the sprites."""

    def batch(rows: range) -> tuple[Tensor, Tensor]:
        frames = frames_of(np.stack([clips.clip(row)[:1] for row in rows]))
        return frames, torch.stack([shown(clips, labels, row) for row in rows])

    torch.manual_seed(0)
    return _fitted(Reader(), batch, steps, 64, lambda found, wanted: _present(found, wanted), tell)


def fit_watcher(
    clips: MovingSprites, labels: np.ndarray, steps: int = WATCHER_STEPS, tell: Callable[[int], None] = lambda n: None
) -> Watcher:
    """Trained on whole clips, to tell their digits and their mean speed."""

    def batch(rows: range) -> tuple[Tensor, Tensor]:
        seen = frames_of(np.stack([clips.clip(row) for row in rows]))
        said = [torch.cat([shown(clips, labels, row), torch.tensor([clips.speed(row)])]) for row in rows]
        return seen, torch.stack(said)

    def loss(found: Tensor, wanted: Tensor) -> Tensor:
        return _present(found[:, :DIGITS], wanted[:, :DIGITS]) + F.mse_loss(found[:, DIGITS], wanted[:, DIGITS])

    torch.manual_seed(0)
    return _fitted(Watcher(), batch, steps, 32, loss, tell)


def _present(found: Tensor, wanted: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(found, wanted)


def _fitted(
    network: M,
    batch: Callable[[range], tuple[Tensor, Tensor]],
    steps: int,
    size: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    tell: Callable[[int], None],
) -> M:
    """By AdamW at a rate of one cycle, on clips that never come twice."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    network.train()
    for step in range(steps):
        given, wanted = batch(range(step * size, (step + 1) * size))
        found = loss(network(given), wanted)
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
        schedule.step()
        tell(1)
    return network.eval()


@torch.no_grad()
def digits_in(reader: Reader, frames: np.ndarray, counts: Tensor) -> Tensor:
    """The `counts` [N] likeliest digits of frames uint8 [N, S, S, 1]: bool [N, 10]."""
    logits = torch.cat([reader(part) for part in frames_of(frames[:, None]).split(PART)])
    places = logits.argsort(dim=1, descending=True).argsort(dim=1)
    return places < counts[:, None]


@torch.no_grad()
def watched(watcher: Watcher, clips: np.ndarray) -> Tensor:
    """Features float64 [N, 128] of clips uint8 [N, n, S, S, 1]."""
    return torch.cat([watcher.features(part).double() for part in frames_of(clips).split(PART)])
