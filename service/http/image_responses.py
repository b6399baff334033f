"""What the image endpoints answer: OpenAI's members first, ours beside them."""

from typing import Literal

from pydantic import BaseModel, Field

from service.http.making import Told
from service.http.responses import Steps, Timings


class TokenDetails(BaseModel):
    text_tokens: int
    image_tokens: int


class ImagesUsage(BaseModel):
    """Tokens that were really given and really decoded."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: TokenDetails
    output_tokens_details: TokenDetails


class Picture(BaseModel):
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    id: str = Field(description="Names this result as `image_id` for a while.")
    seed: int
    sample: int = Field(description="Position in the request; the picture depends on (seed, sample).")
    plan: str = Field(description="The executed plan; send it back to repeat the picture.")
    steps: Steps
    shortened: bool = False
    resumed_from_step: int = Field(0, description="Steps that another worker had done before it was lost.")


class Described(BaseModel):
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png", "jpeg", "webp"]
    quality: str
    size: str


class ImagesResponse(Described):
    created: int
    data: list[Picture]
    usage: ImagesUsage
    safety_identifier: str | None = None
    seed: int
    model: str
    checkpoint: str
    fingerprint: str
    timings: Timings


class QueuedImage(Told):
    """With `progress`, while the request waits and its place changes."""

    type: Literal["image_generation.queued", "image_edit.queued"]
    place: int = Field(description="1 is next.")


class StartedImage(Told):
    """With `progress`: the request has begun."""

    type: Literal["image_generation.started", "image_edit.started"]
    n: int
    seed: int


class SteppedImage(Told):
    """With `progress`: a step is done."""

    type: Literal["image_generation.step", "image_edit.step"]
    image_index: int
    step: int
    steps_total: int
    revealed: float


class ImageEvent(Described):
    """The token grid comes with `progress`, row by row, from models that have one."""

    b64_json: str
    created_at: int
    image_index: int = Field(description="Which of the `n` pictures.")
    known: list[bool] | None = Field(None, description="Per token: is it decided?")
    confidence: list[float] | None = Field(None, description="Per token: the probability of what is shown.")
    order: list[int] | None = Field(None, description="Per token: decided by which step; 0: given or undecided.")


class PartialImage(ImageEvent, Told):
    type: Literal["image_generation.partial_image", "image_edit.partial_image"]
    partial_image_index: int
    step: int
    steps_total: int
    revealed: float = Field(description="Share of tokens decided, 0 to 1.")


class CompletedImage(ImageEvent, Told):
    type: Literal["image_generation.completed", "image_edit.completed"]
    usage: ImagesUsage
    revised_prompt: str | None = None
    id: str
    seed: int
    plan: str
    steps: Steps
    shortened: bool
    resumed_from_step: int
    model: str
    checkpoint: str
    fingerprint: str
