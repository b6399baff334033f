"""What a request asks of a MAGNeT: how long, which frames, how to decode. Misfit where it does not fit."""

import numpy as np
import torch
from torch import Tensor

from models.decoder import GenerationRequest, Misfit
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.magnet.family import TWIN_PARAMETERS
from models.spec import DecoderSpec, Sampling, Sound


def check_request(request: GenerationRequest, spec: DecoderSpec, config: MAGNeTConfig, sound: Sound) -> None:
    """Everything but what `decoding_of` looks at."""
    if request.n < 1:
        raise Misfit("n", f"n is at least 1, not {request.n}")
    if request.plan is not None:
        raise Misfit("plan", "codebook_steps say how a model of codebooks decodes")
    if request.task == "edit":
        _check_upload(request, spec, sound)
    _check_condition(request, spec, config)
    frames = frames_of(request, config, sound)
    _check_start(request, frames, config)
    if not config.span <= frames <= config.length:
        a_frame = sound.hop / sound.rate
        raise Misfit(
            "duration",
            f"{frames * a_frame:.3g} s is outside of {config.span * a_frame:.3g} to {config.length * a_frame:.3g} s",
        )


def _check_upload(request: GenerationRequest, spec: DecoderSpec, sound: Sound) -> None:
    wave, mask = request.waveform, request.mask
    if wave is None or not len(wave):
        raise Misfit("audio", "an edit needs audio")
    if wave.ndim != 2 or wave.shape[1] != sound.channels:
        raise Misfit("audio", f"the audio has {sound.channels} channel(s), not {wave.shape[-1]}")
    if not np.isfinite(wave).all():
        raise Misfit("audio", "the audio has numbers that are not finite")
    tokens = request.tokens
    if tokens is not None and (len(tokens) != spec.grid[0] or tokens.shape[1] < -(-len(wave) // sound.hop)):
        raise Misfit("audio_id", f"the token grid does not reach to the end of {len(wave)} samples")
    if mask is None or mask.ndim != 1 or len(mask) < len(wave) or not mask[len(wave) :].all():
        raise Misfit("mask", "the mask says of each sample whether it is to be made: those behind the audio are")


def _check_condition(request: GenerationRequest, spec: DecoderSpec, config: MAGNeTConfig) -> None:
    condition = request.condition
    if condition is None:
        return
    if not config.terms:
        if not isinstance(condition, str):
            raise Misfit("prompt", "the prompt of this model is a text")
        return
    if not isinstance(condition, tuple) or not condition or not all(0 <= term < config.terms for term in condition):
        raise Misfit("prompt", f"terms of a prompt are below {config.terms}")
    if len(condition) > spec.most_words:
        raise Misfit("prompt", f"a prompt has at most {spec.most_words} terms, not {len(condition)}")


def _check_start(request: GenerationRequest, frames: int, config: MAGNeTConfig) -> None:
    if request.sampling.head_start == 0.0:
        return
    if request.task == "edit":
        raise Misfit("head_start", "what is uploaded is the start of an edit")
    most = (frames - config.span) / config.frame_rate
    if not 0 <= started_frames(request, config) <= frames - config.span:
        raise Misfit("head_start", f"here head_start is 0 to {most:.3g} s, not {request.sampling.head_start:g}")


def started_frames(request: GenerationRequest, config: MAGNeTConfig) -> int:
    """Tokens along time that the twin makes."""
    return round(request.sampling.head_start * config.frame_rate)


def frames_of(request: GenerationRequest, config: MAGNeTConfig, sound: Sound) -> int:
    """Tokens along time."""
    if request.mask is None:
        return request.frames or config.length
    return request.frames or -(-len(request.mask) // sound.hop)


def known_frames(request: GenerationRequest, frames: int, config: MAGNeTConfig, sound: Sound) -> Tensor:
    """bool [frames]: those that the twin makes, or that an upload gives. One is made iff the mask touches it, or it is
    behind the mask; the end of a last one that the mask does not fill does not count.
    """
    known = torch.arange(frames) < started_frames(request, config)
    if request.mask is None:
        return known
    asked = np.ones(frames * sound.hop, dtype=bool)
    mask = request.mask[: len(asked)]
    asked[: len(mask)] = mask
    if frames == -(-len(mask) // sound.hop):
        asked[len(mask) :] = False
    known = torch.from_numpy(~asked.reshape(frames, sound.hop).any(axis=1))
    if known.all():
        raise Misfit("mask", "the mask leaves nothing to be made")
    return known


def decoding_of(sampling: Sampling, spec: DecoderSpec, config: MAGNeTConfig) -> Decoding:
    """How the sequence decodes. Steps without their shares have those of the model's defaults."""
    steps = sampling.codebook_steps
    if not steps:
        steps = spec.sampling.with_steps(sampling.num_inference_steps).codebook_steps
    if len(steps) != config.codebooks or min(steps) < 1:
        raise Misfit("codebook_steps", f"codebook_steps are {config.codebooks} numbers from 1 on, not {list(steps)}")
    if not config.codebooks <= sum(steps) <= spec.max_steps:
        asked = "codebook_steps" if sampling.codebook_steps else "num_inference_steps"
        raise Misfit(asked, f"steps are {config.codebooks} to {spec.max_steps} in all, not {sum(steps)}")
    if sampling.temperature < 0.0:
        raise Misfit("temperature", f"temperature is at least 0, not {sampling.temperature}")
    for name in sorted(TWIN_PARAMETERS - spec.parameters):
        if getattr(sampling, name):
            raise Misfit(name, f"{name} needs an autoregressive twin, which this model does not have")
    if not 0.0 <= sampling.rescoring <= 1.0:
        raise Misfit("rescoring", f"rescoring is a weight from 0 to 1, not {sampling.rescoring:g}")
    if not 0 <= sampling.reuse <= spec.max_reuse:
        raise Misfit("reuse", f"a step of this model is followed by at most {spec.max_reuse} reuse steps")
    return Decoding(
        steps=steps,
        temperature=sampling.temperature,
        anneal=sampling.cooling,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        guidance=(sampling.guidance_scale, sampling.guidance_end),
        arrangement=sampling.span_arrangement,
        scoring=sampling.span_scoring,
        greedy=sampling.temperature == 0.0,
        guidance_share=sampling.guidance_share,
        reuse=sampling.reuse,
        full_first=sampling.full_first,
        rescoring=sampling.rescoring,
    )
