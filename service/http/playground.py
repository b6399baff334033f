"""The page at `/`: files of `service/web`, which asks nothing of any other host."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from service.http.services import services_of

FILES = Path(__file__).resolve().parent.parent / "web"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=FILES)


@router.get("/")
async def page(request: Request) -> Response:
    return await _file(request, "index.html")


@router.get("/web/{path:path}")
async def part(request: Request, path: str) -> Response:
    return await _file(request, path)


async def _file(request: Request, path: str) -> Response:
    if not services_of(request).settings.playground:
        raise HTTPException(404)
    response = await files.get_response(path, request.scope)
    response.headers.update(HEADERS)
    return response
