"""The OpenAPI document: what FastAPI sees, plus bodies that the routes parse themselves and stream events."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.http.audio_requests import AudioEditFields, AudioGenerationRequest
from service.http.audio_responses import (
    AudioResponse,
    CompletedAudio,
    PartialAudio,
    QueuedAudio,
    StartedAudio,
    SteppedAudio,
)
from service.http.errors import ErrorResponse
from service.http.image_requests import (
    ImageEditFields,
    ImageEditRequest,
    ImageGenerationRequest,
    ImageVariationRequest,
)
from service.http.image_responses import (
    CompletedImage,
    ImagesResponse,
    PartialImage,
    QueuedImage,
    StartedImage,
    SteppedImage,
)
from service.http.job_answers import JobEnded, JobObject
from service.http.sse import ErrorEvent
from service.http.video_requests import (
    VideoEditFields,
    VideoExtension,
    VideoFields,
    VideoRemix,
    VideoRequest,
)
from service.http.video_responses import (
    CompletedVideo,
    PartialVideo,
    QueuedVideo,
    StartedVideo,
    SteppedVideo,
    VideoObject,
)
from service.media.encode import MEDIA_TYPES
from service.media.sounds import SOUND_TYPES
from service.media.videos import VIDEO_TYPES

REF = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (
    ImageGenerationRequest,
    ImageEditFields,
    ImageEditRequest,
    ImageVariationRequest,
    AudioGenerationRequest,
    AudioEditFields,
    VideoFields,
    VideoRequest,
    VideoEditFields,
    VideoExtension,
    VideoRemix,
)
EVENTS: tuple[type[BaseModel], ...] = (
    PartialImage,
    CompletedImage,
    ErrorEvent,
    QueuedImage,
    StartedImage,
    SteppedImage,
)
AUDIO_EVENTS: tuple[type[BaseModel], ...] = (
    PartialAudio,
    CompletedAudio,
    ErrorEvent,
    QueuedAudio,
    StartedAudio,
    SteppedAudio,
)
VIDEO_EVENTS: tuple[type[BaseModel], ...] = (
    PartialVideo,
    CompletedVideo,
    ErrorEvent,
    QueuedVideo,
    StartedVideo,
    SteppedVideo,
)
STREAMED: tuple[type[BaseModel], ...] = tuple(dict.fromkeys((*EVENTS, *AUDIO_EVENTS, *VIDEO_EVENTS, JobEnded)))
BINARY = {"type": "string", "format": "binary"}
REASONS = {
    400: "A field is wrong; `param` names it",
    401: "Missing or wrong API key",
    403: "A licence that this server does not serve",
    404: "Unknown model or result",
    409: "The Idempotency-Key stands for another request",
    413: "Too large",
    415: "Wrong content type",
    500: "Failed inside",
    503: "Queue full or shutting down; see Retry-After",
    504: "The deadline passed",
    507: "No room for the result",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": reason} for status, reason in REASONS.items()
}
BINARY_ANSWER: dict[str, Any] = {
    "description": "The file",
    "content": {
        media_type: {"schema": BINARY}
        for media_type in (*MEDIA_TYPES.values(), *SOUND_TYPES.values(), *VIDEO_TYPES.values())
    },
}
VIDEO_FILES: dict[str, Any] = {
    "description": "The file",
    "content": {one: {"schema": BINARY} for one in (*VIDEO_TYPES.values(), "image/webp", "image/jpeg")},
}
EVENTS_ANSWER: dict[str, Any] = {
    "description": "Events, each with an `event:` line equal to its `type`; the last one is JobEnded",
    "content": {"text/event-stream": {"schema": {"oneOf": [{"$ref": REF.format(model=e.__name__)} for e in STREAMED]}}},
}
ACCEPTED: dict[str, Any] = {
    "model": JobObject,
    "description": "With `Prefer: respond-async`: the job, to be found at `Location`",
    "headers": {
        name: {"schema": {"type": "string"}} for name in ("Location", "Preference-Applied", "openai-poll-after-ms")
    },
}
ASKING = [
    ("Prefer", "`respond-async` answers 202 with a job, unless `stream` is true."),
    ("Idempotency-Key", "The same request with the same key runs once; it goes on when the connection breaks."),
    ("Last-Event-ID", "With a key and `stream`: go on behind this event."),
]


def _one_of(events: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    return {"text/event-stream": {"schema": {"oneOf": [{"$ref": REF.format(model=e.__name__)} for e in events]}}}


IMAGE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ImagesResponse,
        "description": "The pictures; with stream=true events, each with an `event:` line equal to its `type`",
        "content": _one_of(EVENTS),
    },
    202: ACCEPTED,
    **ERRORS,
}
AUDIO_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": AudioResponse,
        "description": "The sounds; with response_format=file the sound itself; with stream=true events",
        "content": _one_of(AUDIO_EVENTS) | {one: {"schema": BINARY} for one in SOUND_TYPES.values()},
    },
    202: ACCEPTED,
    **ERRORS,
}


VIDEO_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": VideoObject,
        "description": "The video, to be come back for; with stream=true events",
        "content": _one_of(VIDEO_EVENTS),
    },
    **ERRORS,
}


def json_body(schema: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": REF.format(model=schema.__name__)}}}
    return {"requestBody": {"required": True, "content": content}, "parameters": _asking()}


def _asking() -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [{"name": name, "in": "header", "description": about, "schema": text} for name, about in ASKING]


def edit_body() -> dict[str, Any]:
    images = {"type": "array", "items": BINARY, "description": "PNG, JPEG or WebP; one. Also as `image[]`."}
    mask = {**BINARY, "description": "Same size; fully transparent pixels are made anew."}
    body = json_body(ImageEditRequest)
    body["requestBody"]["content"]["multipart/form-data"] = _form(ImageEditFields, {"image": images, "mask": mask})
    return body


def audio_edit_body() -> dict[str, Any]:
    audio = {**BINARY, "description": "WAV, FLAC, OGG or MP3; one."}
    content = {"multipart/form-data": _form(AudioEditFields, {"audio": audio})}
    return {"requestBody": {"required": True, "content": content}, "parameters": _asking()}


def video_body() -> dict[str, Any]:
    clips = "MP4, MOV, WebM, MKV, AVI or GIF; or stills in their order: PNG, JPEG, WebP."
    parts = {
        "input_reference": {
            "type": "array",
            "items": BINARY,
            "description": f"The frames before (past: behind): {clips}",
        },
        "end_reference": {"type": "array", "items": BINARY, "description": f"The frames behind: {clips}"},
    }
    body = json_body(VideoRequest)
    body["requestBody"]["content"]["multipart/form-data"] = _form(VideoFields, parts)
    return body


def video_edit_body() -> dict[str, Any]:
    parts = {
        "video": {**BINARY, "description": "MP4, MOV, WebM, MKV, AVI or GIF."},
        "mask": {
            **BINARY,
            "description": "A picture whose transparent pixels, or a clip whose bright ones are made anew.",
        },
    }
    content = {"multipart/form-data": _form(VideoEditFields, parts)}
    return {"requestBody": {"required": True, "content": content}, "parameters": _asking()}


def video_extension_body() -> dict[str, Any]:
    body = json_body(VideoExtension)
    parts = {"video": {**BINARY, "description": "MP4, MOV, WebM, MKV, AVI or GIF; or `video[id]`."}}
    body["requestBody"]["content"]["multipart/form-data"] = _form(VideoFields, parts)
    return body


def variation_body() -> dict[str, Any]:
    image = {**BINARY, "description": "PNG, JPEG or WebP."}
    content = {"multipart/form-data": _form(ImageVariationRequest, {"image": image})}
    return {"requestBody": {"required": True, "content": content}, "parameters": _asking()}


def _form(fields: type[BaseModel], files: dict[str, Any]) -> dict[str, Any]:
    parts = {"type": "object", "properties": files}
    return {"schema": {"allOf": [{"$ref": REF.format(model=fields.__name__)}, parts]}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document. There is no 422: broken requests are 400 with the error object."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, extra = models_json_schema([(model, "validation") for model in (*BODIES, *STREAMED)], ref_template=REF)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in extra["$defs"].items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    return document
