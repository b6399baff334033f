"""Sprites that move and bounce off the walls in directions that nobody can know: stochastic Moving-MNIST (arXiv
1802.07687), drawn on the fly. A clip follows from (seed, index) alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

FASTEST = 4  # pixels a frame
PALE = (170.0, 250.0)  # of a ground's colours


@dataclass(frozen=True)
class Moving(ABC):
    """Clips of `frames` frames of side x side pixels, in which `together` of `sprites` uint8 [N, h, h, ...] move.

    `count` is how many clips there are for who wants to number them.
    """

    sprites: np.ndarray
    side: int
    frames: int
    seed: int
    together: int = 2
    count: int = 1_000_000

    def __len__(self) -> int:
        return self.count

    @abstractmethod
    def clip(self, index: int) -> np.ndarray:
        """uint8 [frames, side, side, C]."""

    def which(self, index: int) -> np.ndarray:
        """The sprites of a clip, [together]."""
        return self.scene(index)[0]

    def speed(self, index: int) -> float:
        """Pixels a frame, the mean over sprites and time."""
        _, paths = self.scene(index)
        return float(np.linalg.norm(np.diff(np.array(paths), axis=1), axis=2).mean())

    def scene(self, index: int) -> tuple[np.ndarray, list[list[tuple[int, int]]]]:
        """Its sprites, and where each of them is in every frame."""
        draws = np.random.default_rng([self.seed, index])
        chosen = draws.integers(0, len(self.sprites), self.together)
        room = self.side - self.sprites.shape[1]
        return chosen, [path(draws, room, self.frames) for _ in chosen]


@dataclass(frozen=True)
class MovingSprites(Moving):
    """Grey sprites [N, h, h] that are added up."""

    def clip(self, index: int) -> np.ndarray:
        """uint8 [frames, side, side, 1]."""
        chosen, paths = self.scene(index)
        canvas = np.zeros((self.frames, self.side, self.side), np.uint16)
        size = self.sprites.shape[1]
        for sprite, places in zip(self.sprites[chosen], paths, strict=True):
            for frame, (x, y) in zip(canvas, places, strict=True):
                frame[y : y + size, x : x + size] += sprite
        return canvas.clip(0, 255).astype(np.uint8)[..., None]


@dataclass(frozen=True)
class MovingPictures(Moving):
    """Sprites with colour and alpha [N, h, h, 4], the later before the former, over a pale ground of one colour."""

    def clip(self, index: int) -> np.ndarray:
        """uint8 [frames, side, side, 3]."""
        chosen, paths = self.scene(index)
        ground = np.random.default_rng([self.seed, index, 1]).uniform(*PALE, 3)
        canvas = np.broadcast_to(ground, (self.frames, self.side, self.side, 3)).copy()
        size = self.sprites.shape[1]
        for sprite, places in zip(self.sprites[chosen], paths, strict=True):
            colour, share = sprite[..., :3], sprite[..., 3:] / 255.0
            for frame, (x, y) in zip(canvas, places, strict=True):
                under = frame[y : y + size, x : x + size]
                under += share * (colour - under)
        return canvas.round().astype(np.uint8)


def path(draws: np.random.Generator, room: int, frames: int) -> list[tuple[int, int]]:
    """Places (x, y) of a sprite, each 0 to room - 1: it starts anywhere, at any whole speed, and takes another one at
    every wall, away from it.
    """
    at = [int(one) for one in draws.integers(0, room, 2)]
    speed = [int(one) for one in draws.integers(-FASTEST, FASTEST + 1, 2)]
    places = []
    for _ in range(frames):
        for axis in (1, 0):
            if not 0 <= at[axis] < room:
                away = 1 if at[axis] < 0 else -1
                at[axis] = 0 if away > 0 else room - 1
                speed[axis] = away * int(draws.integers(1, FASTEST + 1))
                speed[1 - axis] = int(draws.integers(-FASTEST, FASTEST + 1))
        places.append((at[0], at[1]))
        at = [at[0] + speed[0], at[1] + speed[1]]
    return places
