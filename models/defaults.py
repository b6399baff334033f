"""The sampling defaults of a checkpoint, once they are known to work. Imports without torch."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from models.architecture import parse_architecture
from models.checkpoint import CheckpointConfig, CheckpointError
from models.decoding.schedules import parse as parse_schedule
from models.spec import Sampling

NOT_NEGATIVE = (
    "temperature",
    "choice_temperature",
    "guidance_scale",
    "guidance_end",
    "top_k",
    "reuse",
    "full_first",
    "diffusion_clip",
    "head_start",
    "rescoring",
)
SHARES = ("top_p", "diffusion_reuse", "guidance_share")


@dataclass(frozen=True)
class Limits:
    """What requests of a model may ask for. max_diffusion_steps 0: tokens are not made by diffusion."""

    parameters: Set[str]
    max_steps: int
    max_reuse: int
    guidable: bool = True
    max_diffusion_steps: int = 0


def read_defaults(path: Path, config: CheckpointConfig, limits: Limits) -> tuple[Sampling, Mapping[str, int]]:
    """`decoding` and `quality` of config.json; step numbers beyond a small grid are cut to what it allows.

    CheckpointError, in one line that names the field, for defaults that no request could run with.
    """
    try:
        sampling = parse_architecture(Sampling, config.decoding, "decoding")
        parse_schedule(sampling.schedule)
        _check(sampling, config, limits)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    steps = min(sampling.num_inference_steps, limits.max_steps)
    quality: dict[str, int] = {word: min(steps, limits.max_steps) for word, steps in config.quality.items()}
    return replace(sampling, num_inference_steps=steps), quality


def _check(sampling: Sampling, config: CheckpointConfig, limits: Limits) -> None:
    if strangers := sorted(config.decoding.keys() - limits.parameters):
        raise ValueError(f"decoding.{strangers[0]} has no effect on a {config.family}")
    for name, steps in [("decoding.num_inference_steps", sampling.num_inference_steps), *config.quality.items()]:
        if steps < 1:
            raise ValueError(f"{name} is {steps}, not a number of steps")
    for name in (*NOT_NEGATIVE, *SHARES):
        value = getattr(sampling, name)
        if not isfinite(value) or value < 0:
            raise ValueError(f"decoding.{name} is {value}, not a number from 0 on")
    for name in SHARES:
        if not 0.0 < getattr(sampling, name) <= 1.0:
            raise ValueError(f"decoding.{name} is {getattr(sampling, name)}, no share above 0 and up to 1")
    if sampling.rescoring > 1.0:
        raise ValueError(f"decoding.rescoring is {sampling.rescoring}, more than 1")
    if sampling.head_start:
        raise ValueError("decoding.head_start is for requests to ask for: edits, and short sounds, have none")
    if sampling.reuse > limits.max_reuse:
        raise ValueError(f"decoding.reuse is {sampling.reuse}, more than {limits.max_reuse}")
    if sampling.guidance_scale != 1.0 and not limits.guidable:
        raise ValueError(f"decoding.guidance_scale is {sampling.guidance_scale}, but the model cannot be guided")
    steps = sampling.diffusion_steps
    if steps and not 2 <= steps <= limits.max_diffusion_steps:
        raise ValueError(f"decoding.diffusion_steps is {steps}, outside 2 to {limits.max_diffusion_steps}")
