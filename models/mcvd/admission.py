"""What a request asks of an MCVD: which frames, from which, how. Misfit where it does not fit."""

from dataclasses import replace

import numpy as np
import torch

from models.decoder import GenerationRequest, Misfit
from models.mcvd.config import MCVDConfig
from models.mcvd.paste import Known
from models.mcvd.pixels import to_channels
from models.mcvd.samplers import Sampler
from models.mcvd.tasks import SHOWS_FUTURE, SHOWS_PAST, Task
from models.spec import DecoderSpec, Footage, Sampling


def check_request(request: GenerationRequest, spec: DecoderSpec, footage: Footage, config: MCVDConfig) -> Task:
    """Everything but what `samplers_of` looks at; returns what is asked for."""
    if request.n < 1:
        raise Misfit("n", f"n is at least 1, not {request.n}")
    if request.plan is not None:
        raise Misfit("plan", "num_inference_steps say how frames are made")
    if request.clip_task not in footage.tasks:
        raise Misfit("task", f"the model is for {', '.join(footage.tasks)}, not for {request.clip_task or 'nothing'}")
    if not 1 <= request.frames <= footage.most:
        raise Misfit("frames", f"frames are 1 to {footage.most}, not {request.frames}")
    task = Task(request.clip_task)
    if task is Task.INTERPOLATION and request.frames != config.frames:
        raise Misfit("frames", f"{config.frames} frames fit between those given, not {request.frames}")
    if task in SHOWS_PAST:
        _check_given("past", request.past, config.past, spec, footage)
    if task in SHOWS_FUTURE:
        _check_given("future", request.future, config.future, spec, footage)
    if request.task == "edit":
        _check_known(request, spec, footage)
    return task


def _check_given(which: str, frames: np.ndarray | None, least: int, spec: DecoderSpec, footage: Footage) -> None:
    wanted = (spec.size[1], spec.size[0], footage.channels)
    if frames is None or len(frames) < least:
        raise Misfit(which, f"{least} {which} frames are needed, not {0 if frames is None else len(frames)}")
    if frames.dtype != np.uint8 or frames.shape[1:] != wanted:
        raise Misfit(which, f"{which} frames are {wanted} bytes each, not {frames.shape[1:]}")


def _check_known(request: GenerationRequest, spec: DecoderSpec, footage: Footage) -> None:
    wanted = (request.frames, spec.size[1], spec.size[0])
    if request.image is None or request.image.shape != (*wanted, footage.channels):
        raise Misfit("video", "an edit needs what is known of every frame")
    if request.mask is None or request.mask.shape != wanted:
        raise Misfit("mask", "the mask says of each pixel of each frame whether it is to be made")
    if not request.mask.any():
        raise Misfit("mask", "the mask leaves nothing to be made")


def known_of(request: GenerationRequest, config: MCVDConfig) -> Known | None:
    if request.image is None or request.mask is None:
        return None
    held = torch.from_numpy(~request.mask)[:, None].expand(-1, config.channels, -1, -1)  # [n, C, H, W]
    return Known(to_channels(request.image), held.flatten(0, 1))


def samplers_of(sampling: Sampling, spec: DecoderSpec, blocks: int) -> tuple[Sampler, ...]:
    """One for each block."""
    steps = sampling.block_steps or (sampling.num_inference_steps,) * blocks
    if len(steps) != blocks:
        raise Misfit("block_steps", f"{blocks} blocks are made, block_steps are {len(steps)}")
    if not all(spec.min_steps <= one <= spec.max_steps for one in steps):
        asked = "block_steps" if sampling.block_steps else "num_inference_steps"
        raise Misfit(asked, f"steps are {spec.min_steps} to {spec.max_steps}, not {sorted(set(steps))}")
    base = Sampler(
        kind="ddpm" if sampling.sampler == "ddpm" else "ddim",
        spacing=sampling.spacing,
        final_denoise=sampling.final_denoise == "official",
        consistent=sampling.sampler == "ddim-clipped",
    )
    return tuple(replace(base, steps=one) for one in steps)
