"""What clients may ask of the audio endpoints: the fields of pictures where they mean the same, and those of sound."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from service.http.requests import MakingOptions, Share

Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
Steps = Annotated[int, Field(ge=1, le=10_000)]


def listed(value: object) -> object:
    """A field of a form reads `20,10,10,10`."""
    if not isinstance(value, str):
        return value
    parts = value.strip("[] ").split(",")
    return [int(part) if part.strip().isdecimal() else part for part in parts]


class AudioOptions(MakingOptions):
    """Fields that both endpoints take. Absent and null mean the model's own default."""

    output_format: Literal["wav", "flac", "mp3", "opus", "pcm"] | None = Field(
        None, description="Of the files; wav by default. opus is Ogg Opus, pcm 16 bits, little-endian, without header."
    )
    response_format: Literal["b64_json", "url", "file"] | None = Field(
        None,
        description="`url` is a link that works for a while; `file` answers with the file itself, where `n` is 1; the "
        "default, except of jobs, is `b64_json`.",
    )
    partial_audio: int | None = Field(
        None, ge=0, le=8, description="Previews of finished codebooks per sample, with `stream` or of a job."
    )
    codebook_steps: Annotated[list[Steps] | None, BeforeValidator(listed)] = Field(
        None, min_length=1, max_length=64, description="Steps of each codebook; their sum is num_inference_steps."
    )
    guidance_end: float | None = Field(
        None, ge=0, le=20, description="Guidance falls from guidance_scale to this within each codebook."
    )
    guidance_share: Share | None = Field(
        None, description="Of each codebook's steps, from its first on, those that are guided; others cost half."
    )
    reuse: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Cheap steps after each full one, that evaluate what is open; 0 is off.",
    )
    full_first: int | None = Field(None, ge=0, le=10_000, description="Full steps at the beginning of each codebook.")
    cooling: bool | None = Field(None, description="The temperature falls to 0 within each codebook.")
    span_arrangement: Literal["nonoverlap", "stride1"] | None = Field(
        None, description="What is decided together: spans side by side, or at any place."
    )
    span_scoring: Literal["max", "prod"] | None = Field(
        None, description="A span's score: of its best token, or of all."
    )
    head_start: float | None = Field(
        None,
        ge=0,
        le=3600,
        description="Seconds that an autoregressive twin makes first, of generations; what follows is parallel.",
    )
    rescoring: float | None = Field(
        None, ge=0, le=1, description="Weight of the twin's view of what was drawn, when spans are scored."
    )
    loop: bool | None = Field(None, description="The end leads over into the beginning, to be played in a circle.")

    @property
    def partials(self) -> int:
        return self.partial_audio or 0


class AudioGenerationRequest(AudioOptions):
    prompt: str = Field(min_length=1, max_length=32_000, description="What is to be heard.")
    duration: Seconds | None = Field(None, description="Seconds; as many as the model makes by default.")


class AudioEditFields(AudioOptions):
    """The fields of an edit; the sound comes as a part, or by `audio_id`."""

    prompt: str = Field(min_length=1, max_length=32_000)
    ranges: str | None = Field(
        None,
        max_length=4096,
        description="What is made anew, in seconds: `1-2,3.5-4`. Without it only what `duration` adds.",
    )
    duration: Seconds | None = Field(None, description="Seconds in all; beyond the upload's end it is continued.")
    audio_id: str | None = Field(None, max_length=64, description="The `id` of an earlier result, instead of `audio`.")
    cross_fade_ms: float | None = Field(
        None, ge=0, le=1000, description="Inside of what is made, at its borders; 20 by default."
    )
