"""Request bodies under a byte limit: JSON into a schema, multipart into fields and files."""

from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from service.http.errors import ApiError, from_validation, invalid
from service.settings import Settings

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Form:
    """fields: scalar parts; files: the bytes of each file part under its name, `image[]` as `image`."""

    fields: dict[str, str]
    files: dict[str, list[bytes]]


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(request: Request, wanted: str) -> ApiError:
    found = media_type(request) or "nothing"
    return ApiError(415, f"The content type must be {wanted}, not {found}.", "unsupported_media_type")


async def read_json(request: Request, schema: type[M], limit: int) -> M:
    """Parse strictly: no coercion, no unknown members, no NaN."""
    if media_type(request) != "application/json":
        raise unsupported(request, "application/json")
    body = await Request(request.scope, bounded(request, limit)).body()
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None


def fill(schema: type[M], fields: dict[str, str]) -> M:
    """Form fields are text: read numbers and booleans out of it."""
    try:
        return schema.model_validate(fields, strict=False)
    except ValidationError as error:
        raise from_validation(error) from None


async def read_form(request: Request, settings: Settings) -> Form:
    if media_type(request) != "multipart/form-data":
        raise unsupported(request, "multipart/form-data")
    fields: dict[str, str] = {}
    files: dict[str, list[bytes]] = {}
    reader = Request(request.scope, bounded(request, settings.max_body_bytes))
    try:
        parts = reader.form(max_files=settings.max_parts, max_fields=settings.max_parts)
        async with parts as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files.setdefault(name.removesuffix("[]"), []).append(await _read(value, name, settings))
                elif name in fields:
                    raise invalid(f"{name} was given twice.", name)
                else:
                    fields[name] = value
    except HTTPException as error:
        raise invalid(f"The form cannot be read: {error.detail}.", None, "invalid_form") from None
    return Form(fields, files)


async def _read(part: UploadFile, name: str, settings: Settings) -> bytes:
    if (part.size or 0) > settings.max_image_bytes:
        raise too_large(f"{name} is larger than {settings.max_image_bytes} bytes.", name)
    return await part.read()


def too_large(message: str, param: str | None = None) -> ApiError:
    return ApiError(413, message, "payload_too_large", param)


def bounded(request: Request, limit: int) -> Receive:
    """The request's body, refused with 413 at its announced or its real length."""
    message = f"The body is larger than {limit} bytes."
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large(message)
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        part = await request.receive()
        seen += len(part.get("body", b""))
        if seen > limit:
            raise too_large(message)
        return part

    return receive
