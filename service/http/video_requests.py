"""What clients may ask of the video endpoints: the fields of OpenAI and of pictures where they mean the same."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.spec import ClipTask
from service.http.audio_requests import listed
from service.http.image_requests import ImageSource
from service.http.requests import MakingOptions

Frames = Annotated[int, Field(ge=1, le=1000)]
Steps = Annotated[int, Field(ge=1, le=10_000)]


def _number(value: object) -> object:
    """OpenAI writes seconds as words: "4"."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0.0, le=3600.0)]


class VideoOptions(MakingOptions):
    """Fields that all video endpoints take. Absent and null mean the model's own default."""

    prompt: str | None = Field(
        None, max_length=32_000, description="Kept for your books: these models read no words, and need none."
    )
    output_format: Literal["mp4", "webm", "gif", "mkv", "zip"] | None = Field(
        None, description="mp4 (H.264) by default; mkv is FFV1 and loses nothing, as zip does: a PNG for each frame."
    )
    size: str | None = Field(
        None, max_length=32, description="auto, the model's own, or a whole multiple of it: pixels are repeated."
    )
    fps: float | None = Field(
        None, ge=1, le=60, description="Frames a second of the file; those of the clip given, else the model's."
    )
    sampler: Literal["ddpm", "ddim", "ddim-clipped"] | None = Field(
        None, description="ddim adds no noise; ddim-clipped follows the noise that belongs to the clipped estimate."
    )
    spacing: Literal["even", "official"] | None = Field(
        None, description="official has as many steps as the published code makes of a number: 31 of 30."
    )
    final_denoise: Literal["off", "official"] | None = Field(
        None, description="The published code's last call, which takes contrast away where steps are few."
    )
    block_steps: Annotated[list[Steps] | None, BeforeValidator(listed)] = Field(
        None, min_length=1, max_length=1000, description="Steps of every block, as a shortened result reports them."
    )
    partial_video: int | None = Field(
        None, ge=0, le=1000, description="Previews, with `stream`: one behind each block by default."
    )

    @property
    def partials(self) -> int:
        return self.partial_video or 0


class VideoFields(VideoOptions):
    """The fields of a new video; clips come as parts, or by `video_id`."""

    task: ClipTask | None = Field(
        None,
        description="prediction: frames behind the reference; past: those before it; interpolation: those between two; "
        "unconditional: any. By default what the references allow.",
    )
    frames: Frames | None = Field(None, description="To be made; a block of the model by default.")
    seconds: Seconds | None = Field(None, description="Instead of frames; also as text, as OpenAI has it.")
    video_id: str | None = Field(None, max_length=64, description="An earlier video, instead of `input_reference`.")
    include_input: bool | None = Field(None, description="The file has the frames given, too.")


class VideoRequest(VideoFields):
    """The same as JSON, with data URLs of pictures or clips."""

    input_reference: ImageSource | list[ImageSource] | None = Field(
        None, description="A clip, or stills in their order: the frames before (with task=past: behind)."
    )
    end_reference: ImageSource | list[ImageSource] | None = Field(None, description="The frames behind.")


class VideoEditFields(VideoOptions):
    """The fields of an edit; the clip comes as a part, or by `video_id`."""

    ranges: str | None = Field(
        None, max_length=4096, description="Frames to be made anew, from 0: `5-9,12` (both ends count)."
    )
    video_id: str | None = Field(None, max_length=64, description="An earlier video, instead of `video`.")


class VideoName(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(max_length=64)


class VideoExtension(VideoOptions):
    """OpenAI's extension: a video goes on."""

    video: VideoName
    seconds: Seconds | None = Field(None, description="Of what is added.")
    frames: Frames | None = None


class VideoRemix(BaseModel):
    """The same request with another seed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str | None = Field(None, max_length=32_000)
    seed: int | None = Field(None, ge=0, lt=2**63)
