"""POST /v1/images/generations, /edits and /variations."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.http.answering import answer
from service.http.bodies import fill, media_type, read_form, read_json, unsupported
from service.http.context import context_of
from service.http.errors import invalid
from service.http.image_inputs import Files, data_url, file_parts
from service.http.image_jobs import ImageMaker
from service.http.image_requests import (
    ImageEditFields,
    ImageEditRequest,
    ImageGenerationRequest,
    ImageVariationRequest,
)
from service.http.manner import manner_of
from service.http.openapi import IMAGE_ANSWERS, edit_body, json_body, variation_body
from service.http.services import Services, services_of

router = APIRouter(prefix="/v1/images", tags=["images"], responses=IMAGE_ANSWERS)


@router.post("/generations", openapi_extra=json_body(ImageGenerationRequest))
async def create_image(request: Request) -> Response:
    """Make pictures from a prompt."""
    services, context = services_of(request), context_of(request)
    body = await read_json(request, ImageGenerationRequest, services.settings.max_json_bytes)
    maker = ImageMaker(services, context, manner_of(request, bool(body.stream)))
    return await answer(request, maker, maker.generation(body), bool(body.stream))


@router.post("/edits", openapi_extra=edit_body())
async def edit_image(request: Request) -> Response:
    """Make the transparent part of a mask anew; kept pixels come back bit for bit (PNG, lossless WebP)."""
    services, context = services_of(request), context_of(request)
    body, files = await _edit(request, services)
    maker = ImageMaker(services, context, manner_of(request, bool(body.stream)))
    return await answer(request, maker, await maker.edit(body, files), bool(body.stream))


@router.post("/variations", openapi_extra=variation_body())
async def vary_image(request: Request) -> Response:
    """Make a share of a picture's tokens anew."""
    services, context = services_of(request), context_of(request)
    form = await read_form(request, services.settings)
    body = fill(ImageVariationRequest, form.fields)
    maker = ImageMaker(services, context, manner_of(request, bool(body.stream)))
    job = await maker.variation(body, file_parts(form.files, ("image",)))
    return await answer(request, maker, job, bool(body.stream))


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
