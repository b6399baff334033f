"""What `maskserve generate` is to make: from options, from lines of JSON, or from the tags of a file."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.architecture import describe_errors, parse_architecture
from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.decoding.plan import Plan
from models.spec import DecoderSpec, Sampling
from service.commands.refusal import Refusal
from service.http.audio_medium import codebook_steps
from service.http.audio_output import AudioOutput, length_for, sound_of
from service.http.audio_requests import AudioGenerationRequest
from service.http.errors import ApiError
from service.http.image_output import ImageOutput
from service.http.image_requests import ImageGenerationRequest
from service.http.making import Output
from service.http.sampling import plan_for, sampling_for
from service.media.sounds import sound_length
from service.media.tags import read_tags

DRAWN_BITS = 32
BODIES: Mapping[str, type[ImageGenerationRequest] | type[AudioGenerationRequest]] = {
    "image": ImageGenerationRequest,
    "audio": AudioGenerationRequest,
}
SERVER_ONLY = {
    "stream",
    "partial_images",
    "partial_audio",
    "size",
    "output_format",
    "output_compression",
    "response_format",
    "deadline_ms",
    "allow_fewer_steps",
    "priority",
}


@dataclass(frozen=True)
class Recipe:
    """A request, what the model took from its prompt, how samples leave, and which of them are wanted (all: None)."""

    request: GenerationRequest
    understood: str | None
    output: Output
    sample: int | None = None


def recipe(entry: Entry, fields: Mapping[str, Any]) -> Recipe:
    """From the fields of a POST to /v1/images/generations or /v1/audio/generations, as the server takes them.

    Raises Refusal that names the field, PromptError.
    """
    if pointless := sorted(SERVER_ONLY & fields.keys()):
        raise Refusal(f"{pointless[0]} has a meaning only for the server")
    try:
        body = BODIES[entry.spec.modality].model_validate(fields)
        sampling, plan = sampling_for(entry.spec, body), plan_for(entry.spec, body)
        frames, output = _output(entry.spec, body, sampling)
    except ValidationError as error:
        raise Refusal("; ".join(describe_errors(error))) from None
    except ApiError as error:
        raise Refusal(f"{error.error.param}: {error}") from None
    if body.model not in (None, entry.spec.id):
        raise Refusal(f"model: {body.model} is asked for, {entry.spec.id} is loaded")
    if plan is not None and plan.total != entry.spec.length:
        raise Refusal(f"plan: it reveals {plan.total} of {entry.spec.length} tokens")
    understood = entry.family.understand(entry.spec, body.prompt)
    seed = secrets.randbits(DRAWN_BITS) if body.seed is None else body.seed
    loop = isinstance(body, AudioGenerationRequest) and bool(body.loop)
    request = GenerationRequest(
        "generate", understood.condition, sampling, seed, body.n or 1, plan, frames=frames, loop=loop
    )
    return Recipe(request, understood.revised or None, output)


def _output(
    spec: DecoderSpec, body: ImageGenerationRequest | AudioGenerationRequest, sampling: Sampling
) -> tuple[int, Output]:
    """Tokens along time, of sounds, and how samples leave. Raises ApiError."""
    if isinstance(body, ImageGenerationRequest):
        return 0, ImageOutput("png", 100, spec.size, "auto")
    frames, length = length_for(spec, sampling, body.duration, bool(body.loop))
    return frames, _sound(spec, length)


def _sound(spec: DecoderSpec, length: int) -> AudioOutput:
    sound = sound_of(spec)
    return AudioOutput("wav", sound.rate, sound.channels, length, "auto")


def counted(entry: Entry, fields: Mapping[str, Any], count: int, balanced: bool) -> list[Recipe]:
    """`count` pictures with a seed each, from the given one on; `balanced`: as many of every class, class by class."""
    first = fields.get("seed")
    start = secrets.randbits(DRAWN_BITS) if first is None else first
    if not balanced:
        return [recipe(entry, {**fields, "seed": start + i}) for i in range(count)]
    classes = len(entry.spec.classes)
    if classes == 0 or count % classes:
        raise Refusal(f"--count must be a multiple of the {classes} classes of {entry.spec.id}, {count} is not")
    prompts = [str(i * classes // count) for i in range(count)]
    return [recipe(entry, {**fields, "prompt": prompt, "seed": start + i}) for i, prompt in enumerate(prompts)]


def from_lines(entry: Entry, path: Path) -> list[Recipe]:
    """One JSON object a line, with the fields of a POST to /v1/images/generations."""
    recipes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise Refusal(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise Refusal(f"{path}, line {number}: not a JSON object")
        try:
            recipes.append(recipe(entry, fields))
        except (Refusal, ValueError) as error:
            raise Refusal(f"{path}, line {number}: {error}") from None
    if not recipes:
        raise Refusal(f"{path}: no request in it")
    return recipes


def tagged_model(path: Path) -> str:
    """The model that made a file, by its tags. Raises ValueError where there are none."""
    return str(read_tags(path.read_bytes())["model"])


def like(spec: DecoderSpec, path: Path) -> Recipe:
    """The request that made a tagged file. Raises Refusal where that is not enough to repeat it."""
    tags: Any = read_tags(path.read_bytes())
    if tags["task"] != "generate":
        raise Refusal(f"{path} was made from another file ({tags['task']}), which its tags do not hold")
    if tags["checkpoint"] != spec.checkpoint:
        raise Refusal(f"{path} was made by checkpoint {tags['checkpoint']}, {spec.id} is now {spec.checkpoint}")
    condition = tags["condition"]
    plan = Plan.parse(tags["plan"])
    sampling = parse_architecture(Sampling, tags["sampling"], "sampling")
    output: Output = ImageOutput("png", 100, spec.size, "auto")
    if spec.modality == "audio":
        steps = tuple(codebook_steps(tags["plan"], spec.grid[0]))
        sampling = replace(sampling, codebook_steps=steps, num_inference_steps=sum(steps))
        output = _sound(spec, sound_length(path.read_bytes()))
    request = GenerationRequest(
        task="generate",
        condition=tuple(condition) if isinstance(condition, list) else condition,
        sampling=sampling,
        seed=tags["seed"],
        n=tags["sample"] + 1,
        plan=plan if spec.modality == "image" else None,
        frames=tags.get("frames", 0),
        loop=tags.get("loop", False),
    )
    return Recipe(request, tags["prompt"], output, tags["sample"])
