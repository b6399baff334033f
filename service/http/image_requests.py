"""What clients may ask of the image endpoints: OpenAI's fields, and ours under the names that peers taught."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.http.requests import MakingOptions, Share


class ImageOptions(MakingOptions):
    """Fields that all three endpoints take. Absent and null mean the model's own default."""

    size: str | None = Field(None, max_length=32, description="`auto` or the model's own WIDTHxHEIGHT.")
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
    partial_images: int | None = Field(
        None, ge=0, le=3, description="Partial pictures per sample, with `stream` or of a job."
    )

    guidance_schedule: Literal["constant", "linear"] | None = None
    choice_temperature: float | None = Field(None, ge=0, le=1000, description="Noise on the confidence.")
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

    @property
    def partials(self) -> int:
        return self.partial_images or 0


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
