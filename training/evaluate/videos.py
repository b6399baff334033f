"""All numbers of a generator of clips: what it predicts, joins, remembers and dreams, against clips that are drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.decoder import GenerationRequest
from models.mcvd.decoder import MCVDDecoder
from models.spec import ClipTask, Sampling
from training.data.moving import MovingSprites
from training.evaluate.frechet import frechet_distance
from training.evaluate.pixels import ssim
from training.evaluate.sampling import made_together
from training.evaluate.watcher import Reader, Watcher, digits_in, shown, watched

BLOCKS = 2  # that are predicted: ten frames of SMMNIST
TOGETHER = 16
WHITE = 128


@dataclass(frozen=True)
class Judges:
    """What looks at clips of sprites with `labels`."""

    reader: Reader
    watcher: Watcher
    labels: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Clips uint8 [N, n, S, S, 1]: `past` frames that are shown, `made` ones, and `future` ones; as many `others`; and
    the digits of each, bool [N, 10].
    """

    past: np.ndarray
    made: np.ndarray
    future: np.ndarray
    others: np.ndarray
    digits: Tensor
    middle: np.ndarray  # the mean of all frames, uint8 [S, S, 1]

    @classmethod
    def draw(cls, clips: MovingSprites, labels: np.ndarray, first: int, count: int, sizes: tuple[int, int]) -> "Scene":
        """Clips `first` and on, then those that they are compared with; sizes: frames before, and made ones."""
        whole = np.stack([clips.clip(first + at) for at in range(2 * count)])
        past, made = sizes
        mine, others = whole[:count], whole[count:]
        return cls(
            past=mine[:, :past],
            made=mine[:, past : past + made],
            future=mine[:, past + made :],
            others=others,
            digits=torch.stack([shown(clips, labels, first + at) for at in range(count)]) > 0,
            middle=others.mean(axis=(0, 1)).round().astype(np.uint8),
        )

    def __len__(self) -> int:
        return len(self.made)

    def seen(self, made: np.ndarray) -> np.ndarray:
        """`made` behind the frames shown."""
        return np.concatenate([self.past, made], axis=1)


def closeness(made: np.ndarray, real: np.ndarray) -> tuple[Tensor, Tensor]:
    """PSNR in dB and SSIM, float64 [N] each, of clips uint8 [N, n, S, S, 1]: PSNR of the mean squared error of all
    frames, SSIM of black and white ones, as MCVD's authors measure this data.
    """
    error = torch.from_numpy(((made.astype(np.float64) - real) ** 2).mean(axis=(1, 2, 3, 4)))
    sides = [torch.from_numpy(np.where(one >= WHITE, 255, 0).astype(np.uint8)).movedim(-1, 2) for one in (made, real)]
    likeness = torch.tensor([ssim(a, b) for a, b in zip(*sides, strict=True)], dtype=torch.float64)
    return 10.0 * torch.log10(255.0**2 / error.clamp(min=1e-6)), likeness


def best_of(trials: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """trials uint8 [K, N, n, S, S, 1]: the best of each clip, PSNR and SSIM apart; and the first."""
    psnr, likeness = (torch.stack(found) for found in zip(*(closeness(one, real) for one in trials), strict=True))
    return {
        "trials": len(trials),
        "psnr_best": float(psnr.amax(dim=0).mean()),
        "ssim_best": float(likeness.amax(dim=0).mean()),
        "psnr_first": float(psnr[0].mean()),
        "ssim_first": float(likeness[0].mean()),
    }


def baselines(**guesses: tuple[np.ndarray, np.ndarray]) -> dict[str, dict[str, float]]:
    """Closeness of (guess, real)."""
    found = {name: closeness(*pair) for name, pair in guesses.items()}
    return {name: {"psnr": float(psnr.mean()), "ssim": float(like.mean())} for name, (psnr, like) in found.items()}


def read(judges: Judges, clips: np.ndarray, frame: int, digits: Tensor) -> float:
    """Percent of clips whose `frame` shows the digits that are in them."""
    return 100.0 * float(
        (digits_in(judges.reader, clips[:, frame], digits.sum(dim=1)) == digits).all(dim=1).double().mean()
    )


class Studio:
    """Makes clips for all tasks by one decoder; trial k of clip i has seed `seed` + k * N + i."""

    def __init__(self, decoder: MCVDDecoder, sampling: Sampling, seed: int, tell: Callable[[int], None]) -> None:
        self.decoder, self.sampling, self.seed, self.tell = decoder, sampling, seed, tell

    def make(self, task: ClipTask, scene: Scene, frames: int, trials: int) -> np.ndarray:
        """uint8 [K, N, frames, S, S, 1]."""
        sees_past, sees_future = task in ("prediction", "interpolation"), task in ("past", "interpolation")
        requests = [
            GenerationRequest(
                "generate",
                None,
                self.sampling,
                seed=self.seed + trial * len(scene) + at,
                frames=frames,
                clip_task=task,
                past=scene.past[at] if sees_past else None,
                future=scene.future[at] if sees_future else None,
            )
            for trial in range(trials)
            for at in range(len(scene))
        ]
        made = np.stack([one.array for one in made_together(self.decoder, requests, TOGETHER, self.tell)])
        return made.reshape(trials, len(scene), *made.shape[1:])


def clip_scores(
    studio: Studio, clips: MovingSprites, judges: Judges, count: int, trials: int, first: int
) -> Iterator[tuple[str, dict[str, Any], np.ndarray]]:
    """Task by task: its name, its numbers, and its first trial [N, n, S, S, 1] as a whole clip."""
    footage = studio.decoder.footage
    past, block, future = footage.past, footage.block, footage.future
    longer = BLOCKS * block
    scene = Scene.draw(clips, judges.labels, first, count, (past, longer))
    theirs = watched(judges.watcher, scene.others[:, : past + longer])
    own = watched(judges.watcher, scene.seen(scene.made))
    floor = {"fvd_own_floor": frechet_distance(own, theirs)}

    if "prediction" in footage.tasks:
        made = studio.make("prediction", scene, longer, trials)
        whole = scene.seen(made[0])
        yield (
            "prediction",
            {
                "frames": f"{past} -> {longer}",
                **best_of(made, scene.made),
                "baselines": baselines(
                    last_frame=(np.repeat(scene.past[:, -1:], longer, axis=1), scene.made),
                    mean_frame=(np.broadcast_to(scene.middle, scene.made.shape), scene.made),
                    mean_shown=(
                        np.repeat(scene.past.mean(axis=1, keepdims=True).round().astype(np.uint8), longer, axis=1),
                        scene.made,
                    ),
                ),
                **{f"digits_frame_{at}": read(judges, made[0], at - 1, scene.digits) for at in (1, block, longer)},
                **{
                    f"digits_frame_{at}_real": read(judges, scene.made, at - 1, scene.digits)
                    for at in (1, block, longer)
                },
                **floor,
                "fvd_own": frechet_distance(watched(judges.watcher, whole), theirs),
            },
            whole,
        )
    behind = np.concatenate([scene.made, scene.future], axis=1)
    if "interpolation" in footage.tasks:
        between = replace(scene, made=behind[:, :block], future=behind[:, block:])
        made = studio.make("interpolation", between, block, trials)
        yield (
            "interpolation",
            {
                "frames": f"{past} + {future} -> {block}",
                **best_of(made, between.made),
                "baselines": baselines(blend=(_blended(between), between.made)),
                "digits_middle": read(judges, made[0], block // 2, scene.digits),
                "digits_middle_real": read(judges, between.made, block // 2, scene.digits),
            },
            np.concatenate([between.past, made[0], between.future[:, :future]], axis=1),
        )
    if "past" in footage.tasks:
        before = replace(scene, made=scene.past, future=behind)
        made = studio.make("past", before, past, trials=1)
        yield (
            "past",
            {
                "frames": f"{past} <- {future}",
                **best_of(made, before.made),
                "baselines": baselines(first_frame=(np.repeat(before.future[:, :1], past, axis=1), before.made)),
                "digits_frame_first": read(judges, made[0], 0, scene.digits),
            },
            np.concatenate([made[0], before.future[:, :future]], axis=1),
        )
    if "unconditional" in footage.tasks:
        made = studio.make("unconditional", scene, past + longer, trials=1)[0]
        yield (
            "unconditional",
            {
                "frames": f"0 -> {past + longer}",
                **floor,
                "fvd_own": frechet_distance(watched(judges.watcher, made), theirs),
            },
            made,
        )


def _blended(scene: Scene) -> np.ndarray:
    """From the last frame before to the first one behind, evenly."""
    count = scene.made.shape[1]
    share = (np.arange(count) + 1.0)[:, None, None, None] / (count + 1)
    mixed: np.ndarray = scene.past[:, -1:] * (1.0 - share) + scene.future[:, :1] * share
    return mixed.round().astype(np.uint8)
