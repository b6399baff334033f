"""From a client's options to how the decoder is to run, checked against the model's limits."""

from dataclasses import replace
from typing import Any

from models.decoding.plan import Plan
from models.decoding.schedules import parse as parse_schedule
from models.spec import DecoderSpec, Sampling
from service.http.errors import invalid
from service.http.requests import MakingOptions

SYNONYMS = {"standard": "medium", "hd": "high"}
PLAIN = (
    "guidance_end",
    "guidance_share",
    "cooling",
    "span_arrangement",
    "span_scoring",
    "head_start",
    "rescoring",
    "guidance_schedule",
    "temperature",
    "choice_temperature",
    "top_k",
    "top_p",
    "full_first",
    "diffusion_steps",
    "diffusion_reuse",
    "diffusion_clip",
    "sampler",
    "spacing",
    "final_denoise",
    "block_steps",
)
CHECKED = ("num_inference_steps", "codebook_steps", "guidance_scale", "schedule", "reuse")  # by functions of their own


def sampling_for(spec: DecoderSpec, options: MakingOptions) -> Sampling:
    """The model's defaults with what the client named. Raises ApiError 400 with the field."""
    _known(spec, options)
    given = {name: value for name in PLAIN if (value := _asked(options, name)) is not None}
    if "block_steps" in given:
        given["block_steps"] = tuple(given["block_steps"])
    return replace(
        _in_steps(spec, options),
        guidance_scale=_guidance(spec, options),
        schedule=_schedule(spec, options),
        reuse=_reuse(spec, options),
        **given,
    )


def _known(spec: DecoderSpec, options: MakingOptions) -> None:
    """Nothing that was asked for is without effect."""
    for name in (*PLAIN, *CHECKED):
        if _asked(options, name) is not None and name not in spec.parameters:
            takes = sorted(spec.parameters.intersection({*PLAIN, *CHECKED}))
            raise invalid(f"{spec.id} has no {name}: it takes {', '.join(takes)}.", name)
    steps = _asked(options, "diffusion_steps")
    if steps is not None and steps > spec.max_diffusion_steps:
        raise invalid(f"{spec.id} takes at most {spec.max_diffusion_steps} diffusion steps.", "diffusion_steps")


def _asked(options: MakingOptions, name: str) -> Any:
    """None where the endpoint does not have the field, too."""
    return getattr(options, name, None)


def _in_steps(spec: DecoderSpec, options: MakingOptions) -> Sampling:
    """The defaults in as many steps as are asked for, in all or of each codebook."""
    shares: list[int] | None = _asked(options, "codebook_steps")
    if shares is None:
        return spec.sampling.with_steps(_steps(spec, options))
    if len(shares) != spec.grid[0]:
        raise invalid(f"{spec.id} has {spec.grid[0]} codebooks, not {len(shares)}.", "codebook_steps")
    if sum(shares) > spec.max_steps:
        raise invalid(f"{spec.id} takes at most {spec.max_steps} steps.", "codebook_steps")
    if options.num_inference_steps not in (None, sum(shares)):
        raise invalid(f"codebook_steps are {sum(shares)} steps in all.", "num_inference_steps")
    return replace(spec.sampling, codebook_steps=tuple(shares), num_inference_steps=sum(shares))


def quality_of(spec: DecoderSpec, steps: int) -> str:
    """The quality word whose budget is `steps`, `auto` where there is none."""
    return next((word for word, budget in spec.quality.items() if budget == steps), "auto")


def plan_for(spec: DecoderSpec, options: MakingOptions) -> Plan | None:
    """The client's plan, within the model's limits. Whether it fits the mask is seen by the decoder."""
    text = _asked(options, "plan")
    if text is None:
        return None
    try:
        plan = Plan.parse(text)
    except ValueError as error:
        raise invalid(str(error), "plan") from None
    if min(plan.reveals) < 1:
        raise invalid("Every step of a plan reveals at least one token.", "plan")
    if plan.total > spec.length:
        raise invalid(f"The plan reveals {plan.total} tokens, the model has {spec.length}.", "plan")
    if max(map(len, plan.groups)) - 1 > spec.max_reuse:
        raise invalid(f"At most {spec.max_reuse} reuse steps follow a full one.", "plan")
    if plan.steps > spec.max_steps:
        raise invalid(f"The plan has {plan.steps} steps, at most {spec.max_steps} are allowed.", "plan")
    return plan


def _steps(spec: DecoderSpec, options: MakingOptions) -> int:
    if options.num_inference_steps is not None:
        if not spec.min_steps <= options.num_inference_steps <= spec.max_steps:
            allowed = f"between {spec.min_steps} and {spec.max_steps}"
            raise invalid(f"{spec.id} takes {allowed} steps.", "num_inference_steps")
        return options.num_inference_steps
    quality = options.quality or "auto"
    if quality == "auto":
        return spec.sampling.num_inference_steps
    word = SYNONYMS.get(quality, quality)
    if word not in spec.quality:
        raise invalid(f"{spec.id} knows the qualities auto, {', '.join(spec.quality)}.", "quality")
    return spec.quality[word]


def _guidance(spec: DecoderSpec, options: MakingOptions) -> float:
    scale = options.guidance_scale
    if scale is None:
        return spec.sampling.guidance_scale
    if scale != 1.0 and not spec.guidable:
        raise invalid(f"{spec.id} was not trained for guidance; leave it at 1.", "guidance_scale")
    return scale


def _schedule(spec: DecoderSpec, options: MakingOptions) -> str:
    schedule: str | None = _asked(options, "schedule")
    if schedule is None:
        return spec.sampling.schedule
    try:
        parse_schedule(schedule)
    except ValueError as error:
        raise invalid(str(error), "schedule") from None
    return schedule


def _reuse(spec: DecoderSpec, options: MakingOptions) -> int:
    reuse: int | None = _asked(options, "reuse")
    if reuse is None:
        return spec.sampling.reuse
    if reuse > spec.max_reuse:
        raise invalid(f"{spec.id} takes at most {spec.max_reuse} reuse steps after a full one.", "reuse")
    return reuse
