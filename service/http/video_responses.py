"""What the video endpoints answer: OpenAI's video object, and events like those of pictures."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.dispatch.standing import Status
from service.http.errors import ErrorObject
from service.http.making import Told
from service.http.responses import Steps, Timings


class VideoUsage(BaseModel):
    """Frames that were given and made."""

    input_frames: int
    output_frames: int
    total_frames: int


class VideoDescribed(BaseModel):
    output_format: Literal["mp4", "webm", "gif", "mkv", "zip"]
    quality: str
    size: str
    fps: float
    frames: int = Field(description="Of the file.")
    before: int = Field(0, description="Of these, given ones at its beginning.")
    behind: int = Field(0, description="Of these, given ones at its end.")
    seconds: str


class VideoHistory(BaseModel):
    id: str = Field(description="Names this result as `video_id` for a while.")
    seed: int
    task: str = Field(description="What was made of the frames given; an edit chooses it.")
    plan: str = Field(description="Frames that every network call finished; `99*0,5` is a block of 100 steps.")
    block_steps: list[int] = Field(description="The executed steps; send them back to repeat the video.")
    steps: Steps
    shortened: bool = False
    resumed_from_step: int = Field(0, description="Steps that another worker had done before it was lost.")


class VideoMade(VideoHistory):
    b64_json: str | None = None
    url: str | None = None


class VideoResult(VideoDescribed):
    """What a job's `result` is."""

    created: int
    data: list[VideoMade]
    usage: VideoUsage
    seed: int
    model: str
    checkpoint: str
    fingerprint: str
    timings: Timings


class VideoObject(BaseModel):
    """OpenAI's, and how it was made."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Status
    progress: int = Field(ge=0, le=100)
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str | None
    size: str
    seconds: str
    remixed_from_video_id: str | None
    error: ErrorObject | None
    frames: int
    fps: float
    seed: int
    result: dict[str, Any] | None = Field(None, description="How it was made, once it is completed.")


class VideoList(BaseModel):
    object: Literal["list"] = "list"
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedVideo(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class QueuedVideo(Told):
    """With `progress`, while the request waits and its place changes."""

    type: Literal["video_generation.queued", "video_edit.queued"]
    place: int = Field(description="1 is next.")


class StartedVideo(Told):
    """With `progress`: the request has begun."""

    type: Literal["video_generation.started", "video_edit.started"]
    n: int
    seed: int


class SteppedVideo(Told):
    """With `progress`: a network call is done."""

    type: Literal["video_generation.step", "video_edit.step"]
    step: int
    steps_total: int
    revealed: float


class PartialVideo(VideoDescribed, Told):
    """The frames that are done, and of a block that is being made what it may become."""

    type: Literal["video_generation.partial_video", "video_edit.partial_video"]
    b64_json: str
    created_at: int
    partial_video_index: int
    task: str
    done: int = Field(description="Frames that were made and will not change; they come first (with task=past, last).")
    step: int
    steps_total: int
    revealed: float = Field(description="Share of the frames that are done.")


class CompletedVideo(VideoDescribed, VideoHistory, Told):
    type: Literal["video_generation.completed", "video_edit.completed"]
    b64_json: str
    created_at: int
    usage: VideoUsage
    model: str
    checkpoint: str
    fingerprint: str
