"""/v1/videos: OpenAI's resource, edits of clips, and the same as a stream of frames."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from service.dispatch.base import Known
from service.dispatch.standing import standing
from service.engine.events import Done, Event, SampleDone
from service.http.answering import answer, submit
from service.http.bodies import Form, fill, media_type, read_form, read_json, unsupported
from service.http.context import Context, context_of
from service.http.errors import ApiError, from_failed, invalid
from service.http.image_inputs import data_url
from service.http.image_requests import ImageSource
from service.http.jobs import POLL_MS, PRIVATE, drop, known_of, refuse_unfinished
from service.http.making import Job, result_id
from service.http.manner import Manner, base_of, manner_of
from service.http.openapi import (
    VIDEO_ANSWERS,
    VIDEO_FILES,
    json_body,
    video_body,
    video_edit_body,
    video_extension_body,
)
from service.http.services import Services, services_of
from service.http.video_files import Asked, Variant, rendered
from service.http.video_jobs import Files, VideoMaker
from service.http.video_medium import VIDEO
from service.http.video_output import VideoOutput
from service.http.video_requests import VideoEditFields, VideoExtension, VideoFields, VideoRemix, VideoRequest
from service.http.video_responses import DeletedVideo, VideoList, VideoObject
from service.media.videos import VideoFormat
from service.packed import unpack

router = APIRouter(prefix="/v1/videos", tags=["videos"], responses=VIDEO_ANSWERS)
OBJECT, REQUEST = "video_", "req_"
REFERENCES = ("input_reference", "end_reference")


@router.post("", openapi_extra=video_body(), response_model=VideoObject)
async def create_video(request: Request) -> Response:
    """Make frames behind, before or between those of a clip, or from nothing; `stream` sends them block by block."""
    services, context = services_of(request), context_of(request)
    body, files = await _creation(request, services)
    maker = VideoMaker(services, context, _manner(request, bool(body.stream)))
    return await _answered(request, maker, await maker.creation(body, files), bool(body.stream))


@router.post("/edits", openapi_extra=video_edit_body(), response_model=VideoObject)
async def edit_video(request: Request) -> Response:
    """Make frames, or what a mask shows of them, anew; everything else comes back bit for bit (mkv, zip)."""
    services, context = services_of(request), context_of(request)
    form = await read_form(request, services.settings)
    body = fill(VideoEditFields, form.fields)
    _refuse_others(form, ("video", "mask"))
    maker = VideoMaker(services, context, _manner(request, bool(body.stream)))
    return await _answered(request, maker, await maker.edit(body, form.files), bool(body.stream))


@router.post("/extensions", openapi_extra=video_extension_body(), response_model=VideoObject)
async def extend_video(request: Request) -> Response:
    """A video with more frames behind it."""
    services, context = services_of(request), context_of(request)
    body, files = await _extension(request, services)
    maker = VideoMaker(services, context, _manner(request, bool(body.stream)))
    return await _answered(request, maker, await maker.creation(body, files), bool(body.stream))


@router.post("/{id}/remix", openapi_extra=json_body(VideoRemix), response_model=VideoObject)
async def remix_video(request: Request, id: str) -> Response:
    """The same request with another seed."""
    services, context = services_of(request), context_of(request)
    body = await read_json(request, VideoRemix, services.settings.max_json_bytes)
    known, _ = await _video(services, context, id)
    maker = VideoMaker(services, context, _manner(request, stream=False))
    return await _answered(request, maker, await maker.remix(known, body), stream=False)


@router.get("")
async def list_videos(
    request: Request,
    after: Annotated[str, Query(max_length=64, description="The last id of the page before.")] = "",
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> VideoList:
    """Videos of this API key."""
    services, context = services_of(request), context_of(request)
    found: list[VideoObject] = []
    at, more = after.replace(OBJECT, REQUEST, 1), True
    while more and len(found) <= limit:
        try:
            page = await services.dispatcher.jobs.page(context.owner, at, 100, order == "desc")
        except KeyError:
            raise invalid("There is no such video (any more) to go on from.", "after") from None
        at, more = page.ids[-1] if page.ids else "", page.more
        for known in [known for id in page.ids if (known := await services.dispatcher.jobs.find(id)) is not None]:
            if _is_video(known):
                found.append(_object(known, await services.dispatcher.jobs.told(known.ticket.id)))
    data = found[:limit]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return VideoList(data=data, first_id=ends[0], last_id=ends[1], has_more=len(found) > limit)


@router.get("/{id}", response_model=VideoObject)
async def retrieve_video(request: Request, id: str) -> Response:
    """How far a video is."""
    services, context = services_of(request), context_of(request)
    known, told = await _video(services, context, id)
    shown = _object(known, told)
    if shown.status == "completed":
        made = [event for event in told if isinstance(event, SampleDone)]
        done = next(event for event in told if isinstance(event, Done))
        base = base_of(request, services.settings.public_url)
        shown = shown.model_copy(
            update={"result": await services.kind_of(known).result(known, made, done, base, inline=False)}
        )
    return JSONResponse(shown.model_dump(), headers=_headers())


@router.get("/{id}/content", response_class=Response, responses={200: VIDEO_FILES})
async def video_content(
    request: Request,
    id: Annotated[str, Path(description="Of a video, or of a result (`vid_...`), as streams name it.")],
    variant: Variant = "video",
    format: Annotated[VideoFormat | None, Query(description="Another one than was asked for: the same frames.")] = None,
    size: Annotated[str | None, Query(max_length=32, description="The same of the size.")] = None,
) -> Response:
    """The file, its middle frame as WebP, or its frames side by side as JPEG."""
    services, context = services_of(request), context_of(request)
    asked = Asked(variant, format, size)
    if id.startswith(f"{VIDEO.prefix}_"):
        name = id
        result = await services.results.result(VIDEO.prefix, id, context.owner)
        if result is None:
            raise ApiError(404, "There is no such result (any more).", "video_not_found", "id")
    else:
        known, told = await _video(services, context, id)
        refuse_unfinished(known, told)
        if asked == Asked():
            file = await services.kind_of(known).file(known, 0)
            return Response(file.content, media_type=file.media_type, headers=file.headers)
        name = result_id(await services.kind_of(known).job_of(known), 0)
        result = await services.results.result(VIDEO.prefix, name, context.owner)
        if result is None:
            raise ApiError(404, "The result is not kept any more.", "result_expired")
    file = await rendered(services, result, name, asked)
    return Response(file.content, media_type=file.media_type, headers=file.headers)


@router.delete("/{id}")
async def delete_video(request: Request, id: str) -> DeletedVideo:
    """Cancel a video that is being made or waits; forget one that has ended."""
    services, context = services_of(request), context_of(request)
    known, _ = await _video(services, context, id)
    await drop(services, known)
    return DeletedVideo(id=id)


async def _answered(request: Request, maker: VideoMaker, job: Job, stream: bool) -> Response:
    """A stream, or the video as it is when it has just been submitted."""
    if stream:
        return await answer(request, maker, job, stream=True)
    (await submit(maker.services, job)).close()
    known, told = await known_of(maker.services, maker.context, job.ticket.id)
    return JSONResponse(_object(known, told).model_dump(), headers=_headers() | {"x-maskserve-job": job.ticket.id})


def _manner(request: Request, stream: bool) -> Manner:
    """Who does not stream comes back for the video."""
    return replace(manner_of(request, stream), later=not stream)


def _headers() -> dict[str, str]:
    return PRIVATE | {"openai-poll-after-ms": str(POLL_MS)}


async def _creation(request: Request, services: Services) -> tuple[VideoFields, Files]:
    """Multipart with file parts, or JSON with data URLs."""
    settings = services.settings
    match media_type(request):
        case "multipart/form-data":
            form = await read_form(request, settings)
            fields, files = dict(form.fields), dict(form.files)
            for name in REFERENCES:
                if name in fields:
                    raise invalid(f"{name} must be a file part.", name)
                if (url := fields.pop(f"{name}[image_url]", None)) is not None:
                    files[name] = [data_url(ImageSource(image_url=url), name, settings.max_image_bytes)]
            _refuse_others(Form(fields, files), REFERENCES)
            return fill(VideoFields, fields), files
        case "application/json":
            body = await read_json(request, VideoRequest, settings.max_body_bytes * 4 // 3)
            limit = settings.max_image_bytes
            return body, {name: _linked(getattr(body, name), name, limit) for name in REFERENCES}
        case _:
            raise unsupported(request, "multipart/form-data or application/json")


async def _extension(request: Request, services: Services) -> tuple[VideoFields, Files]:
    """Multipart with the video as a part, or JSON with its id."""
    whole = {"task": "prediction", "include_input": True}
    if media_type(request) == "multipart/form-data":
        form = await read_form(request, services.settings)
        _refuse_others(form, ("video",))
        fields = dict(form.fields)
        if (id := fields.pop("video[id]", None)) is not None:
            fields["video_id"] = id
        files = {"input_reference": form.files.get("video", [])}
    else:
        body = await read_json(request, VideoExtension, services.settings.max_json_bytes)
        fields, files = body.model_dump(exclude={"video"}, exclude_none=True) | {"video_id": body.video.id}, {}
    asked = fill(VideoFields, fields).model_copy(update=whole)
    if not files.get("input_reference") and asked.video_id is None:
        raise invalid("Missing required parameter: video.", "video", "missing_required_parameter")
    return asked, files


def _linked(given: ImageSource | list[ImageSource] | None, name: str, limit: int) -> list[bytes]:
    sources = given if isinstance(given, list) else [] if given is None else [given]
    return [data_url(source, name, limit) for source in sources]


def _refuse_others(form: Form, allowed: tuple[str, ...]) -> None:
    for name in form.files:
        if name not in allowed:
            raise invalid(f"Unknown parameter: {name}.", name, "unknown_parameter")


def _is_video(known: Known) -> bool:
    return bool(unpack(known.note)["kind"] == VIDEO.kind)


async def _video(services: Services, context: Context, id: str) -> tuple[Known, list[Event]]:
    """Raises ApiError 404 also for somebody else's, and for other jobs."""
    missing = ApiError(404, "There is no such video (any more).", "video_not_found", "id")
    try:
        known, told = await known_of(services, context, id.replace(OBJECT, REQUEST, 1))
    except ApiError as error:
        raise missing if error.status == 404 else error from None
    if not _is_video(known):
        raise missing
    return known, told


def _object(known: Known, told: list[Event]) -> VideoObject:
    note = unpack(known.note)
    output: VideoOutput = VIDEO.read_output(note["output"])
    state = standing(told, 1)
    return VideoObject(
        id=known.ticket.id.replace(REQUEST, OBJECT, 1),
        model=note["model"],
        status=state.status,
        progress=int(100 * state.progress),
        created_at=int(known.created),
        completed_at=None if known.ended is None or state.failed is not None else int(known.ended),
        expires_at=None if known.expires is None else int(known.expires),
        prompt=output.prompt,
        size=output.size,
        seconds=output.seconds,
        remixed_from_video_id=output.remixed_from,
        error=None if state.failed is None else from_failed(state.failed).error,
        frames=output.frames,
        fps=output.fps,
        seed=known.ticket.request.seed,
    )
