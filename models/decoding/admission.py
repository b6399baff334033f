"""What a request asks of a grid: which tokens are to be made, in which plan. Misfit where it does not fit."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from models.decoder import Condition, GenerationRequest, Misfit
from models.decoding.noise import Purpose, sequence_key, uniform
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import reveal_counts
from models.spec import DecoderSpec

Counts = Callable[[str, int, int], list[int]]  # (schedule, tokens, steps) -> tokens that each step reveals


def check_class(condition: Condition | None, classes: int) -> None:
    """None, or the index of a class."""
    if condition is not None and (not isinstance(condition, int) or not 0 <= condition < classes):
        raise Misfit("prompt", f"the class index is below {classes}, not {condition}")


def check_shapes(request: GenerationRequest, spec: DecoderSpec, token: tuple[int, ...] = ()) -> None:
    """Sizes and ranges of what a caller may hand over; `token` is the shape of one token."""
    width, height = spec.size
    if request.n < 1:
        raise Misfit("n", f"n is at least 1, not {request.n}")
    if request.image is not None and request.image.shape[:2] != (height, width):
        raise Misfit("image", f"the image is {width}x{height} pixels, not {_size(request.image)}")
    if request.mask is not None and request.mask.shape != (height, width):
        raise Misfit("mask", f"the mask is {width}x{height} pixels, not {_size(request.mask)}")
    if request.tokens is not None and request.tokens.shape != (spec.length, *token):
        raise Misfit("image_id", f"the token grid has {spec.length} tokens, not {len(request.tokens)}")
    if request.tokens is not None and not np.isfinite(request.tokens).all():
        raise Misfit("image_id", "the token grid has numbers that are not finite")
    if request.task != "generate" and request.image is None and request.tokens is None:
        raise Misfit("image", f"{request.task} needs an image or a token grid")


def unknown_tokens(request: GenerationRequest, spec: DecoderSpec) -> list[Tensor]:
    """Per sample, which tokens are to be made: bool [L]. A token is, iff its cell of pixels touches the mask."""
    length, (rows, columns) = spec.length, spec.grid
    if request.task == "generate":
        return [torch.ones(length, dtype=torch.bool)] * request.n
    if request.task == "edit":
        if request.mask is None:
            raise Misfit("mask", "an edit needs a mask")
        cells = request.mask.reshape(rows, spec.size[1] // rows, columns, spec.size[0] // columns)
        mask = torch.from_numpy(cells.any(axis=(1, 3)).reshape(-1))
        if not mask.any():
            raise Misfit("mask", "the mask leaves nothing to be made")
        return [mask] * request.n
    count = max(1, round(request.strength * length))
    return [_some_tokens(request.seed, sample, length, count) for sample in range(request.n)]


def _some_tokens(seed: int, sample: int, length: int, count: int) -> Tensor:
    """`count` random tokens that depend on (seed, sample) alone: those with the smallest numbers."""
    key = torch.full((length,), sequence_key(seed, sample))
    u = uniform(key, torch.zeros(length, dtype=torch.long), Purpose.REMASK, torch.arange(length))
    mask = torch.zeros(length, dtype=torch.bool)
    mask[u.argsort(stable=True)[:count]] = True
    return mask


def choose_plan(request: GenerationRequest, spec: DecoderSpec, unknown: int, counts: Counts = reveal_counts) -> Plan:
    """The plan that was sent, or one from the sampling parameters; `counts` is the family's schedule."""
    sampling, plan = request.sampling, request.plan
    if plan is None:
        steps = min(sampling.num_inference_steps, unknown)
        if not 1 <= steps <= spec.max_steps:
            raise Misfit(
                "num_inference_steps",
                f"num_inference_steps is 1 to {spec.max_steps}, not {sampling.num_inference_steps}",
            )
        plan = _planned(counts, sampling.schedule, unknown, steps, sampling.reuse, sampling.full_first)
    if min(plan.reveals, default=1) < 1:
        raise Misfit("plan", "every step of a plan reveals at least one token")
    if plan.total != unknown:
        raise Misfit("plan", f"the plan reveals {plan.total} tokens, the request leaves {unknown} unknown")
    if plan.steps > spec.max_steps:
        raise Misfit("plan", f"the plan has {plan.steps} steps, more than {spec.max_steps}")
    if max(map(len, plan.groups)) > 1 + spec.max_reuse:
        asked = "reuse" if request.plan is None else "plan"
        raise Misfit(asked, f"a step of this model is followed by at most {spec.max_reuse} reuse steps")
    return plan


@lru_cache(maxsize=1024)
def _planned(counts: Counts, schedule: str, unknown: int, steps: int, reuse: int, full_first: int) -> Plan:
    return grouped(counts(schedule, unknown, steps), reuse, full_first)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}" if array.ndim > 1 else str(array.shape)
