"""The OpenAI error object, and the way of every failure into it."""

from collections.abc import Mapping
from math import ceil

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from service.artefacts.base import StoreAway, StoreFull
from service.engine.events import Failed
from service.engine.request import EngineDead, OtherBody, QueueAway, QueueFull, Refused

INVALID = "invalid_request_error"
SERVER = "server_error"
RETRY_LATER = {"retry-after": "5"}
DO_NOT_RETRY = {"x-should-retry": "false"}


class ErrorObject(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    error: ErrorObject


class ApiError(Exception):
    """What the client is told: HTTP status, and the members of the error object."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        type: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = ErrorObject(message=message, type=type, param=param, code=code)
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, object]:
        return ErrorResponse(error=self.error).model_dump()

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


def invalid(message: str, param: str | None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code, param)


def internal() -> ApiError:
    return ApiError(500, "The server failed while handling this request.", "internal_error", type=SERVER)


def draining() -> ApiError:
    return ApiError(503, "The server is shutting down.", "draining", None, SERVER, RETRY_LATER)


def model_not_found(model: str) -> ApiError:
    return ApiError(404, f"The model {model!r} does not exist.", "model_not_found", "model")


def from_refused(refused: Refused) -> ApiError:
    if isinstance(refused, QueueFull):
        seconds = min(60, max(1, ceil(refused.retry_after)))
        headers = {"retry-after": str(seconds)}
        return ApiError(503, str(refused), refused.code, None, SERVER, headers)
    if isinstance(refused, OtherBody):
        message = "This Idempotency-Key was used for another request before."
        return ApiError(409, message, refused.code, "Idempotency-Key", headers=DO_NOT_RETRY)
    if isinstance(refused, QueueAway):
        return ApiError(503, str(refused), refused.code, None, SERVER, RETRY_LATER)
    if isinstance(refused, EngineDead):
        return ApiError(503, "The engine has stopped.", refused.code, None, SERVER, RETRY_LATER)
    return from_code(refused.code, str(refused))


def translated(error: Exception) -> ApiError | None:
    """What a client is told of failures that have a name below the HTTP layer; None for others."""
    match error:
        case ApiError():
            return error
        case Refused():
            return from_refused(error)
        case StoreFull():
            return from_code("storage_full", str(error))
        case StoreAway():
            message = "The store of results cannot be reached; try again soon."
            return ApiError(503, message, "store_unavailable", None, SERVER, RETRY_LATER)
        case _:
            return None


def from_failed(failed: Failed) -> ApiError:
    param = failed.extra.get("param")
    return from_code(failed.code, failed.message, param if isinstance(param, str) else None)


def from_code(code: str, message: str, param: str | None = None) -> ApiError:
    """The engine's codes. What went wrong inside is for the log, not for the client."""
    match code:
        case "invalid_value":
            return invalid(message, param)
        case "model_not_found":
            return ApiError(404, message, code, "model")
        case "deadline_exceeded":
            return ApiError(
                504, "The deadline passed before the result was ready.", code, "deadline_ms", "timeout_error"
            )
        case "draining":
            return draining()
        case "model_unavailable":
            message = "The model could not be loaded; the server's log says why."
            return ApiError(503, message, code, "model", SERVER, DO_NOT_RETRY)
        case "cancelled":
            return ApiError(409, "The request was cancelled.", code, headers=DO_NOT_RETRY)
        case "storage_full":
            return ApiError(507, "There is no room for the result now.", code, None, SERVER, DO_NOT_RETRY)
        case "out_of_memory":
            return ApiError(500, "The device ran out of memory.", code, type=SERVER)
        case _:
            return internal()


def from_validation(error: ValidationError | RequestValidationError) -> ApiError:
    """The first complaint, with its dotted field path."""
    first = error.errors()[0]
    places = [str(part) for part in first["loc"]]
    param = ".".join(places[1:] if places[:1] in (["query"], ["header"], ["path"]) else places) or None
    match first["type"]:
        case "missing":
            return invalid(f"Missing required parameter: {param}.", param, "missing_required_parameter")
        case "extra_forbidden":
            return invalid(f"Unknown parameter: {param}.", param, "unknown_parameter")
        case "json_invalid":
            return invalid(f"The body is not JSON: {first['msg']}.", None, "invalid_json")
        case _:
            return invalid(f"{param or 'body'}: {first['msg']}.", param)


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own refusals: no such route, wrong method, broken form."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    url = f"{request.method} {request.url.path}"
    match error.status_code:
        case 404:
            return ApiError(404, f"Unknown request URL: {url}.", "not_found").response()
        case 405:
            return ApiError(405, f"Not allowed: {url}.", "method_not_allowed", headers=headers).response()
        case status:
            return ApiError(status, str(error.detail), "invalid_value", headers=headers).response()


async def on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return from_validation(error).response()
