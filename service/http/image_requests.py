"""What clients may ask of the image endpoints: OpenAI's fields, and ours under the names that peers taught."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0.0, le=1.0)]
SEEDS = 2**63


class ImageOptions(BaseModel):
    """Fields that all three endpoints take. Absent and null mean the model's own default."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    model: str | None = Field(None, max_length=256, description="A model id; the first image model by default.")
    n: int | None = Field(None, ge=1, le=10, description="How many pictures to make.")
    size: str | None = Field(None, max_length=32, description="`auto` or the model's own WIDTHxHEIGHT.")
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = Field(
        None, description="A budget of decode steps; `num_inference_steps` wins."
    )
    background: Literal["auto", "opaque", "transparent"] | None = Field(
        None, description="Pictures are opaque; `transparent` is refused."
    )
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100, description="For jpeg and webp.")
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="`url` is a link that works for a while; the default, except of jobs, is `b64_json`."
    )
    moderation: Literal["auto", "low"] | None = Field(None, description="Accepted, without effect.")
    style: Literal["vivid", "natural"] | None = Field(None, description="Accepted, without effect.")
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512, description="Echoed.")
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    partial_images: int | None = Field(
        None, ge=0, le=3, description="Partial pictures per sample, with `stream` or of a job."
    )
    progress: bool | None = Field(
        None,
        description="With `stream`: also the place in the queue, every step, and a partial picture with its token grid "
        "after each step that the client keeps up with.",
    )

    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Drawn by the server when absent.")
    num_inference_steps: int | None = Field(None, ge=1, le=10_000, description="Full and reuse steps together.")
    guidance_scale: float | None = Field(None, ge=0, le=20, description="uncond + g * (cond - uncond); 1 is off.")
    guidance_schedule: Literal["constant", "linear"] | None = None
    temperature: float | None = Field(
        None, ge=0, le=10, description="Of the token draw, or of a diffusion chain's noise."
    )
    choice_temperature: float | None = Field(None, ge=0, le=1000, description="Noise on the confidence.")
    top_k: int | None = Field(None, ge=0, le=1_000_000, description="0 is off.")
    top_p: Share | None = Field(None, description="1 is off.")
    schedule: str | None = Field(None, max_length=32, description="cosine, linear, arccos or power:P.")
    reuse: int | None = Field(None, ge=0, le=10_000, description="Cheap steps after each full one; 0 is off.")
    full_first: int | None = Field(None, ge=0, le=10_000, description="Steps before the first cheap one.")
    diffusion_steps: int | None = Field(
        None, ge=2, le=10_000, description="Of the chain that makes a token, for models of continuous tokens."
    )
    diffusion_reuse: Share | None = Field(None, description="The share of these that a cheap step runs.")
    diffusion_clip: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="Bounds what they estimate a token to be, in its standard deviations; 0 is off.",
    )
    plan: str | None = Field(
        None,
        max_length=20_000,
        description="Tokens revealed by each step, as in `1,2,4+6,6+7`; wins over steps, schedule and reuse.",
    )
    deadline_ms: int | None = Field(None, ge=1, le=600_000, description="Fail, or shorten, rather than be later.")
    allow_fewer_steps: bool | None = Field(
        None, description="Overload or a deadline may shorten the plan. Default: true with `deadline_ms`, else false."
    )
    priority: Literal["high", "normal", "low"] | None = None
    webhook: str | None = Field(
        None, max_length=2048, description="With `Prefer: respond-async`: the https address that is told of the end."
    )


class ImageGenerationRequest(ImageOptions):
    prompt: str = Field(
        min_length=1,
        max_length=32_000,
        description="A class name, its index, or a sentence that names exactly one class.",
    )


class ImageSource(BaseModel):
    """A picture inside JSON."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    image_url: str = Field(description="A data URL; nothing is fetched.")


class ImageEditFields(ImageOptions):
    """The fields of an edit; the pictures come as parts, as data URLs, or by `image_id`."""

    prompt: str = Field(min_length=1, max_length=32_000)
    image_id: str | None = Field(None, max_length=64, description="The `id` of an earlier result, instead of `image`.")


class ImageEditRequest(ImageEditFields):
    """The JSON form of an edit."""

    images: list[ImageSource] | None = Field(None, min_length=1, max_length=16)
    mask: ImageSource | None = None


class ImageVariationRequest(ImageOptions):
    prompt: str | None = Field(None, min_length=1, max_length=32_000, description="Absent: no class is imposed.")
    image_id: str | None = Field(None, max_length=64, description="The `id` of an earlier result, instead of `image`.")
    strength: Share | None = Field(None, description="The share of tokens to make anew; 0.5 by default.")
