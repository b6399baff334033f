"""GET /v1/artifacts/{token}: a finished file, for whoever has the link."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.http.errors import ApiError
from service.http.kinds import File
from service.http.openapi import BINARY_ANSWER, ERRORS
from service.http.services import services_of
from service.media.encode import MEDIA_TYPES
from service.media.sounds import SOUND_TYPES

PREFIX = "/v1/artifacts"
EXPIRED = {**ERRORS[404], "description": "The link has expired"}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: BINARY_ANSWER,
    404: ERRORS[404],
    410: EXPIRED,
    500: ERRORS[500],
    503: ERRORS[503],
}
TYPES = {str(format): media_type for format, media_type in (*MEDIA_TYPES.items(), *SOUND_TYPES.items())}
router = APIRouter(prefix=PREFIX, tags=["jobs"], responses=ANSWERS)


@router.get("/{token}", response_class=Response, openapi_extra={"security": []})
async def fetch_artifact(request: Request, token: str) -> Response:
    """Needs no API key: the link is signed and ends."""
    services = services_of(request)
    key = await services.results.links.key(token)
    content = await services.results.file(key)
    if content is None:
        raise ApiError(404, "The file is not kept any more.", "artifact_not_found")
    name = key.rpartition("/")[2]
    file = File(content, TYPES.get(name.rpartition(".")[2], "application/octet-stream"), name)
    return Response(content, media_type=file.media_type, headers=file.headers)
