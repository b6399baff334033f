"""POST /v1/images/generations, /edits and /variations."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.http.bodies import fill, media_type, read_form, read_json, unsupported
from service.http.context import Context, context_of
from service.http.errors import invalid
from service.http.image_answers import Job, StreamName, early_headers, headers, whole
from service.http.image_inputs import Files, data_url, file_parts
from service.http.image_jobs import Jobs
from service.http.image_requests import (
    ImageEditFields,
    ImageEditRequest,
    ImageGenerationRequest,
    ImageVariationRequest,
)
from service.http.image_runs import Run
from service.http.openapi import IMAGE_ANSWERS, edit_body, json_body, variation_body
from service.http.services import Services, services_of
from service.http.sse import EventStream, unless_gone

router = APIRouter(prefix="/v1/images", tags=["images"], responses=IMAGE_ANSWERS)


@router.post("/generations", openapi_extra=json_body(ImageGenerationRequest))
async def create_image(request: Request) -> Response:
    """Make pictures from a prompt."""
    services, context = services_of(request), context_of(request)
    body = await read_json(request, ImageGenerationRequest, services.settings.max_json_bytes)
    job = Jobs(services, context).generation(body)
    return await _answer(request, job, "image_generation", bool(body.stream))


@router.post("/edits", openapi_extra=edit_body())
async def edit_image(request: Request) -> Response:
    """Make the transparent part of a mask anew; kept pixels come back bit for bit (PNG, lossless WebP)."""
    services, context = services_of(request), context_of(request)
    body, files = await _edit(request, services)
    job = await Jobs(services, context).edit(body, files)
    return await _answer(request, job, "image_edit", bool(body.stream))


@router.post("/variations", openapi_extra=variation_body())
async def vary_image(request: Request) -> Response:
    """Make a share of a picture's tokens anew."""
    services, context = services_of(request), context_of(request)
    form = await read_form(request, services.settings)
    body = fill(ImageVariationRequest, form.fields)
    job = await Jobs(services, context).variation(body, file_parts(form.files, ("image",)))
    return await _answer(request, job, "image_generation", bool(body.stream))


async def _edit(request: Request, services: Services) -> tuple[ImageEditFields, Files]:
    """Multipart with file parts, or JSON with data URLs."""
    settings = services.settings
    match media_type(request):
        case "multipart/form-data":
            form = await read_form(request, settings)
            for name in ("image", "image[]", "mask"):
                if name in form.fields:
                    raise invalid(f"{name} must be a file part.", name.removesuffix("[]"))
            return fill(ImageEditFields, form.fields), file_parts(form.files, ("image", "mask"))
        case "application/json":
            body = await read_json(request, ImageEditRequest, settings.max_body_bytes * 4 // 3)
            limit = settings.max_image_bytes
            images = [data_url(source, f"images.{at}.image_url", limit) for at, source in enumerate(body.images or [])]
            mask = data_url(body.mask, "mask.image_url", limit) if body.mask is not None else None
            return body, Files(images, mask)
        case _:
            raise unsupported(request, "multipart/form-data or application/json")


async def _answer(request: Request, job: Job, name: StreamName, stream: bool) -> Response:
    context: Context = context_of(request)
    run = Run(services_of(request), context, job)
    if stream:
        return EventStream(run.stream(name), early_headers(job))
    made, done = await unless_gone(request.receive, run.whole())
    response = whole(job, made, done, context.seconds)
    content: dict[str, Any] = response.model_dump(exclude_none=True)
    return JSONResponse(content, headers=headers(job, made))
