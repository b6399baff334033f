"""GET /v1/models and /v1/models/{id}."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from models.spec import DecoderSpec
from service.http.errors import model_not_found
from service.http.openapi import ERRORS
from service.http.services import services_of

router = APIRouter(prefix="/v1/models", tags=["models"], responses={401: ERRORS[401], 404: ERRORS[404]})


class Limits(BaseModel):
    min_steps: int
    max_steps: int
    max_reuse: int
    max_n: int
    max_diffusion_steps: int = Field(0, description="0: tokens are not made by diffusion.")


class SoundCapabilities(BaseModel):
    sample_rate: int
    channels: int
    least_seconds: float
    most_seconds: float


class FootageCapabilities(BaseModel):
    """Of a video model: frames per block, of colours, seen from so many frames before and behind."""

    channels: int
    block: int
    past: int
    future: int
    tasks: list[str]
    most: int = Field(description="Frames made at once.")
    fps: float


class Capabilities(BaseModel):
    """What the model can do, under the key that OpenAI's clients pass through."""

    family: str
    modality: str
    tasks: list[str]
    sizes: list[str]
    classes: list[str]
    words: list[str] = Field([], description="What prompts may say, of a model trained on captions.")
    tokens: int
    grid: list[int] = Field(description="Rows and columns of tokens.")
    sound: SoundCapabilities | None = Field(None, description="What an audio model makes.")
    footage: FootageCapabilities | None = Field(None, description="What a video model makes.")
    guidable: bool
    limits: Limits
    defaults: dict[str, Any]
    quality: dict[str, int]
    licence: str
    noncommercial: bool
    checkpoint: str
    details: dict[str, Any]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "maskserve"
    maskserve: Capabilities


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@router.get("")
async def list_models(request: Request) -> ModelList:
    services = services_of(request)
    entries = services.dispatcher.catalogue.entries.values()
    return ModelList(data=[_model(entry.spec, services.settings.max_n) for entry in entries])


@router.get("/{id:path}")
async def retrieve_model(request: Request, id: str) -> Model:
    services = services_of(request)
    entry = services.dispatcher.catalogue.entries.get(id)
    if entry is None:
        raise model_not_found(id)
    return _model(entry.spec, services.settings.max_n)


def _sound(spec: DecoderSpec) -> SoundCapabilities | None:
    sound = spec.sound
    if sound is None:
        return None
    return SoundCapabilities(
        sample_rate=sound.rate,
        channels=sound.channels,
        least_seconds=sound.least_seconds,
        most_seconds=sound.most_seconds,
    )


def _model(spec: DecoderSpec, max_n: int) -> Model:
    capabilities = Capabilities(
        family=spec.family,
        modality=spec.modality,
        tasks=sorted(spec.tasks),
        sizes=["auto", "{}x{}".format(*spec.size)] if spec.modality != "audio" else [],
        classes=list(spec.classes),
        words=list(spec.words),
        tokens=spec.length,
        grid=list(spec.grid),
        sound=_sound(spec),
        footage=None if spec.footage is None else FootageCapabilities(**vars(spec.footage)),
        guidable=spec.guidable,
        limits=Limits(
            min_steps=spec.min_steps,
            max_steps=spec.max_steps,
            max_reuse=spec.max_reuse,
            max_n=max_n,
            max_diffusion_steps=spec.max_diffusion_steps,
        ),
        defaults={name: value for name, value in vars(spec.sampling).items() if name in spec.parameters},
        quality=dict(spec.quality),
        licence=spec.licence,
        noncommercial=spec.noncommercial,
        checkpoint=spec.checkpoint,
        details=dict(spec.details),
    )
    return Model(id=spec.id, created=spec.created, maskserve=capabilities)
