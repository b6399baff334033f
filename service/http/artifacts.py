"""GET /v1/artifacts/{token}: a finished file, for whoever has the link."""

import mimetypes
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.artefacts.base import StoreAway
from service.http.errors import RETRY_LATER, SERVER, ApiError
from service.http.openapi import ERRORS
from service.http.services import services_of

PREFIX = "/v1/artifacts"
EXPIRED = {**ERRORS[404], "description": "The link has expired"}
ANSWERS: dict[int | str, dict[str, Any]] = {404: ERRORS[404], 410: EXPIRED, 503: ERRORS[503]}
router = APIRouter(prefix=PREFIX, tags=["jobs"], responses=ANSWERS)


@router.get("/{token}", response_class=Response, openapi_extra={"security": []})
async def fetch_artifact(request: Request, token: str) -> Response:
    """Needs no API key: the link is signed and ends."""
    services = services_of(request)
    key = await services.pictures.links.key(token)
    try:
        content = await services.pictures.file(key)
    except StoreAway:
        raise ApiError(503, "The file cannot be reached now.", "store_unavailable", None, SERVER, RETRY_LATER) from None
    if content is None:
        raise ApiError(404, "The file is not kept any more.", "artifact_not_found")
    media_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
    headers = {"cache-control": "private, max-age=3600, immutable", "x-content-type-options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)
