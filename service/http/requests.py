"""What clients may ask of every endpoint that makes media: OpenAI's fields, and ours under the names of peers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0.0, le=1.0)]
SEEDS = 2**63


class MakingOptions(BaseModel):
    """Absent and null mean the model's own default."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    model: str | None = Field(None, max_length=256, description="A model id; the first one of its kind by default.")
    n: int | None = Field(None, ge=1, le=10, description="How many samples to make.")
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = Field(
        None, description="A budget of decode steps; `num_inference_steps` wins."
    )
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512, description="Echoed.")
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    progress: bool | None = Field(
        None,
        description="With `stream`: also the place in the queue, every step, and a partial sample with its token grid "
        "after each step that the client keeps up with.",
    )

    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Drawn by the server when absent.")
    num_inference_steps: int | None = Field(None, ge=1, le=10_000, description="Full and reuse steps together.")
    guidance_scale: float | None = Field(None, ge=0, le=20, description="uncond + g * (cond - uncond); 1 is off.")
    temperature: float | None = Field(
        None, ge=0, le=10, description="Of the token draw, or of a diffusion chain's noise."
    )
    top_k: int | None = Field(None, ge=0, le=1_000_000, description="0 is off.")
    top_p: Share | None = Field(None, description="1 is off.")
    deadline_ms: int | None = Field(None, ge=1, le=600_000, description="Fail, or shorten, rather than be later.")
    allow_fewer_steps: bool | None = Field(
        None, description="Overload or a deadline may shorten the plan. Default: true with `deadline_ms`, else false."
    )
    priority: Literal["high", "normal", "low"] | None = None
    webhook: str | None = Field(
        None, max_length=2048, description="With `Prefer: respond-async`: the https address that is told of the end."
    )

    @property
    def partials(self) -> int:
        """Previews of each sample."""
        return 0
