"""What a request asks of a MAR: its chains and its guidance. Misfit where they do not fit."""

from models.decoder import GenerationRequest, Misfit
from models.decoding.admission import check_class, check_shapes
from models.mar.config import MARConfig
from models.spec import DecoderSpec, Sampling


def check_request(request: GenerationRequest, spec: DecoderSpec, config: MARConfig) -> None:
    """Sizes, condition and sampling parameters; the plan is looked at when it is chosen."""
    check_shapes(request, spec, (config.token_channels,))
    check_class(request.condition, config.num_classes)
    sampling = request.sampling
    if sampling.guidance_scale != 1.0 and not spec.guidable:
        raise Misfit(
            "guidance_scale", f"guidance_scale is 1 for a model without classes, not {sampling.guidance_scale}"
        )
    if sampling.temperature < 0.0:
        raise Misfit("temperature", f"temperature is at least 0, not {sampling.temperature}")
    if sampling.diffusion_clip < 0.0:
        raise Misfit("diffusion_clip", f"diffusion_clip is at least 0, not {sampling.diffusion_clip}")
    chain_lengths(sampling, config)


def chain_lengths(sampling: Sampling, config: MARConfig) -> tuple[int, int]:
    """Diffusion steps of a token in full and in reuse steps. The published share of ReCAP is a half, rounded down."""
    steps = sampling.diffusion_steps or config.diffusion_steps
    if not 2 <= steps <= config.train_steps:
        raise Misfit("diffusion_steps", f"diffusion_steps is 2 to {config.train_steps}, not {steps}")
    if not 0.0 < sampling.diffusion_reuse <= 1.0:
        raise Misfit(
            "diffusion_reuse", f"diffusion_reuse is a share above 0 and up to 1, not {sampling.diffusion_reuse}"
        )
    return steps, max(2, int(steps * sampling.diffusion_reuse))
