"""From a client's options to how the decoder is to run, checked against the model's limits."""

from dataclasses import replace

from models.decoding.plan import Plan
from models.decoding.schedules import parse as parse_schedule
from models.spec import DecoderSpec, Sampling
from service.http.errors import invalid
from service.http.image_requests import ImageOptions

SYNONYMS = {"standard": "medium", "hd": "high"}
PLAIN = (
    "guidance_schedule",
    "temperature",
    "choice_temperature",
    "top_k",
    "top_p",
    "full_first",
    "diffusion_steps",
    "diffusion_reuse",
    "diffusion_clip",
)
CHECKED = ("num_inference_steps", "guidance_scale", "schedule", "reuse")  # by functions of their own


def sampling_for(spec: DecoderSpec, options: ImageOptions) -> Sampling:
    """The model's defaults with what the client named. Raises ApiError 400 with the field."""
    _known(spec, options)
    given = {name: value for name in PLAIN if (value := getattr(options, name)) is not None}
    return replace(
        spec.sampling,
        num_inference_steps=_steps(spec, options),
        guidance_scale=_guidance(spec, options),
        schedule=_schedule(spec, options),
        reuse=_reuse(spec, options),
        **given,
    )


def _known(spec: DecoderSpec, options: ImageOptions) -> None:
    """Nothing that was asked for is without effect."""
    for name in (*PLAIN, *CHECKED):
        if getattr(options, name) is not None and name not in spec.parameters:
            takes = sorted(spec.parameters.intersection({*PLAIN, *CHECKED}))
            raise invalid(f"{spec.id} has no {name}: it takes {', '.join(takes)}.", name)
    steps = options.diffusion_steps
    if steps is not None and steps > spec.max_diffusion_steps:
        raise invalid(f"{spec.id} takes at most {spec.max_diffusion_steps} diffusion steps.", "diffusion_steps")


def quality_of(spec: DecoderSpec, steps: int) -> str:
    """The quality word whose budget is `steps`, `auto` where there is none."""
    return next((word for word, budget in spec.quality.items() if budget == steps), "auto")


def plan_for(spec: DecoderSpec, options: ImageOptions) -> Plan | None:
    """The client's plan, within the model's limits. Whether it fits the mask is seen by the decoder."""
    if options.plan is None:
        return None
    try:
        plan = Plan.parse(options.plan)
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


def _steps(spec: DecoderSpec, options: ImageOptions) -> int:
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


def _guidance(spec: DecoderSpec, options: ImageOptions) -> float:
    scale = options.guidance_scale
    if scale is None:
        return spec.sampling.guidance_scale
    if scale != 1.0 and not spec.guidable:
        raise invalid(f"{spec.id} was not trained for guidance; leave it at 1.", "guidance_scale")
    return scale


def _schedule(spec: DecoderSpec, options: ImageOptions) -> str:
    if options.schedule is None:
        return spec.sampling.schedule
    try:
        parse_schedule(options.schedule)
    except ValueError as error:
        raise invalid(str(error), "schedule") from None
    return options.schedule


def _reuse(spec: DecoderSpec, options: ImageOptions) -> int:
    if options.reuse is None:
        return spec.sampling.reuse
    if options.reuse > spec.max_reuse:
        raise invalid(f"{spec.id} takes at most {spec.max_reuse} reuse steps after a full one.", "reuse")
    return options.reuse
