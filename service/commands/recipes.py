"""What `maskserve generate` is to make: from options, from lines of JSON, or from the tags of a picture."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.architecture import describe_errors, parse_architecture
from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.decoding.plan import Plan
from models.spec import DecoderSpec, Sampling
from service.commands.refusal import Refusal
from service.http.errors import ApiError
from service.http.image_requests import ImageGenerationRequest
from service.http.sampling import plan_for, sampling_for
from service.media.tags import read_tags

DRAWN_BITS = 32
SERVER_ONLY = {
    "stream",
    "partial_images",
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
    """A request, what the model took from its prompt, and which of its samples are wanted (all: None)."""

    request: GenerationRequest
    understood: str | None
    sample: int | None = None


def recipe(entry: Entry, fields: Mapping[str, Any]) -> Recipe:
    """From the fields of a POST to /v1/images/generations, with the server's meanings and limits.

    Raises Refusal that names the field, PromptError.
    """
    if pointless := sorted(SERVER_ONLY & fields.keys()):
        raise Refusal(f"{pointless[0]} has a meaning only for the server")
    try:
        body = ImageGenerationRequest.model_validate(fields)
        sampling, plan = sampling_for(entry.spec, body), plan_for(entry.spec, body)
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
    request = GenerationRequest("generate", understood.condition, sampling, seed, body.n or 1, plan)
    return Recipe(request, understood.revised or None)


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
    """The model that made a picture, by its tags. Raises ValueError where there are none."""
    return str(read_tags(path.read_bytes())["model"])


def like(spec: DecoderSpec, path: Path) -> Recipe:
    """The request that made a tagged picture. Raises Refusal where that is not enough to repeat it."""
    tags: Any = read_tags(path.read_bytes())
    if tags["task"] != "generate":
        raise Refusal(f"{path} was made from another picture ({tags['task']}), which its tags do not hold")
    if tags["checkpoint"] != spec.checkpoint:
        raise Refusal(f"{path} was made by checkpoint {tags['checkpoint']}, {spec.id} is now {spec.checkpoint}")
    condition = tags["condition"]
    request = GenerationRequest(
        task="generate",
        condition=tuple(condition) if isinstance(condition, list) else condition,
        sampling=parse_architecture(Sampling, tags["sampling"], "sampling"),
        seed=tags["seed"],
        n=tags["sample"] + 1,
        plan=Plan.parse(tags["plan"]),
    )
    return Recipe(request, tags["prompt"], tags["sample"])
