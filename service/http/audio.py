"""POST /v1/audio/generations and /edits."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.http.answering import answer
from service.http.audio_jobs import AudioMaker
from service.http.audio_requests import AudioEditFields, AudioGenerationRequest
from service.http.bodies import fill, read_form, read_json
from service.http.context import context_of
from service.http.errors import invalid
from service.http.manner import manner_of
from service.http.openapi import AUDIO_ANSWERS, audio_edit_body, json_body
from service.http.services import services_of

router = APIRouter(prefix="/v1/audio", tags=["audio"], responses=AUDIO_ANSWERS)


@router.post("/generations", openapi_extra=json_body(AudioGenerationRequest))
async def create_audio(request: Request) -> Response:
    """Make music or sound from a prompt."""
    services, context = services_of(request), context_of(request)
    body = await read_json(request, AudioGenerationRequest, services.settings.max_json_bytes)
    maker = AudioMaker(services, context, manner_of(request, bool(body.stream)))
    return await answer(request, maker, maker.generation(body), bool(body.stream))


@router.post("/edits", openapi_extra=audio_edit_body())
async def edit_audio(request: Request) -> Response:
    """Make ranges of a sound anew, or continue it; kept samples come back bit for bit (WAV, FLAC, pcm).

    An upload at another rate or with other channels than the model's is converted first.
    """
    services, context = services_of(request), context_of(request)
    form = await read_form(request, services.settings)
    body = fill(AudioEditFields, form.fields)
    for name in form.files:
        if name != "audio":
            raise invalid(f"Unknown parameter: {name}.", name, "unknown_parameter")
    maker = AudioMaker(services, context, manner_of(request, bool(body.stream)))
    return await answer(request, maker, await maker.edit(body, form.files.get("audio", [])), bool(body.stream))
