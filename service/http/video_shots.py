"""Which frames a request asks for, and which of those given the model is shown."""

from dataclasses import dataclass

import numpy as np

from models.spec import ClipTask, DecoderSpec, Footage
from service.http.errors import invalid
from service.http.video_inputs import Clip
from service.http.video_output import KeepClip, footage_of
from service.http.video_requests import VideoFields, VideoOptions

FPS = (1.0, 60.0)


@dataclass(frozen=True)
class Shot:
    """`frames` are made as `task`, from those before and behind them, uint8 [n, H, W, C]; `keep`: what is delivered
    around them.
    """

    task: ClipTask
    frames: int
    fps: float
    past: np.ndarray | None
    future: np.ndarray | None
    keep: KeepClip | None = None

    @property
    def delivered(self) -> int:
        """Frames of the file."""
        return self.frames + (0 if self.keep is None else len(self.keep.before) + len(self.keep.behind))


def shot_for(spec: DecoderSpec, body: VideoFields, reference: Clip | None, end: Clip | None) -> Shot:
    """Raises ApiError 400 with the field."""
    footage = footage_of(spec)
    task = _task(spec, body.task, reference, end)
    before, behind = _around(spec, task, reference, end)
    fps = fps_for(body, footage, reference, end)
    frames = _length(footage, body.frames, body.seconds, fps)
    if task == "interpolation" and frames != footage.block:
        asked = "seconds" if body.frames is None else "frames"
        raise invalid(f"{footage.block} frames fit between those given, not {frames}.", asked)
    keep = None
    if body.include_input:
        nothing = np.zeros((0, spec.size[1], spec.size[0], footage.channels), np.uint8)
        keep = KeepClip(nothing if before is None else before, nothing if behind is None else behind)
    past = None if before is None else before[-footage.past :]
    return Shot(task, frames, fps, past, None if behind is None else behind[: footage.future], keep)


def fps_for(body: VideoOptions, footage: Footage, *clips: Clip | None) -> float:
    """What was asked for, else that of the first clip that has one, else the model's."""
    given = body.fps or next((clip.fps for clip in clips if clip is not None and clip.fps), footage.fps)
    return min(max(given, FPS[0]), FPS[1])


def _task(spec: DecoderSpec, asked: ClipTask | None, reference: Clip | None, end: Clip | None) -> ClipTask:
    """Raises ApiError for what the model was not trained for."""
    tasks = footage_of(spec).tasks
    guess: ClipTask = "unconditional"
    if reference is not None:
        guess = "prediction" if end is None else "interpolation"
    elif end is not None:
        guess = "past"
    task = asked or guess
    if task not in tasks:
        if asked is None and guess == "unconditional":
            raise invalid(f"{spec.id} goes on from a clip.", "input_reference", "missing_required_parameter")
        raise invalid(f"{spec.id} is for {', '.join(tasks)}, not for {task}.", "task")
    return task


def _around(
    spec: DecoderSpec, task: ClipTask, reference: Clip | None, end: Clip | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Frames before and behind those that are made. Raises ApiError where they are too few, or too many."""
    footage = footage_of(spec)
    before, behind = (None if one is None else one.frames for one in (reference, end))
    match task:
        case "unconditional":
            if before is not None or behind is not None:
                raise invalid("An unconditional video is made from nothing.", "input_reference")
            return None, None
        case "prediction":
            _refuse_end(behind, task)
            return _enough(before, footage.past, "input_reference", task), None
        case "past":
            if before is not None and behind is not None:
                raise invalid("Give the frames behind as one of the references.", "end_reference")
            given = behind if before is None else before
            param = "end_reference" if before is None else "input_reference"
            return None, _enough(given, footage.future, param, task)
        case "interpolation":
            if behind is None and before is not None and len(before) >= footage.past + footage.future:
                before, behind = before[: -footage.future], before[-footage.future :]
            return (
                _enough(before, footage.past, "input_reference", task),
                _enough(behind, footage.future, "end_reference", task),
            )


def _refuse_end(behind: np.ndarray | None, task: str) -> None:
    if behind is not None:
        raise invalid(f"A {task} has no end_reference.", "end_reference")


def _enough(frames: np.ndarray | None, least: int, param: str, task: str) -> np.ndarray:
    found = 0 if frames is None else len(frames)
    if frames is None or found < least:
        code = "missing_required_parameter" if frames is None else "too_few_frames"
        raise invalid(f"{task} needs {least} frames of {param}, not {found}.", param, code)
    return frames


def _length(footage: Footage, frames: int | None, seconds: float | None, fps: float) -> int:
    """Raises ApiError."""
    if frames is not None and seconds is not None and round(seconds * fps) != frames:
        raise invalid(f"{seconds:g} s are {round(seconds * fps)} frames, not {frames}.", "seconds")
    found = frames or (footage.block if seconds is None else max(1, round(seconds * fps)))
    if found > footage.most:
        raise invalid(
            f"At most {footage.most} frames are made at once, not {found}.", "seconds" if seconds else "frames"
        )
    return found
