"""What `maskserve generate` is to make: from options, from lines of JSON, or from the tags of a file."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
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
from service.http.video_inputs import Clip
from service.http.video_medium import block_steps
from service.http.video_output import VideoOutput, footage_of
from service.http.video_output import output_for as video_output
from service.http.video_requests import VideoFields
from service.http.video_shots import shot_for
from service.media.films import ClipLimits, read_clip
from service.media.sounds import sound_length
from service.media.tags import read_tags
from service.media.uploads import UploadError

DRAWN_BITS = 32
MOST_PIXELS = 4096 * 4096
Body = ImageGenerationRequest | AudioGenerationRequest | VideoFields
BODIES: Mapping[str, type[Body]] = {
    "image": ImageGenerationRequest,
    "audio": AudioGenerationRequest,
    "video": VideoFields,
}
SERVER_ONLY = {
    "stream",
    "partial_images",
    "partial_audio",
    "partial_video",
    "video_id",
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


@dataclass(frozen=True)
class Clips:
    """Files of a video request: the frames before (with task=past: behind), and those behind."""

    before: tuple[Path, ...] = ()
    behind: tuple[Path, ...] = ()


NO_CLIPS = Clips()


def recipe(entry: Entry, fields: Mapping[str, Any], clips: Clips = NO_CLIPS) -> Recipe:
    """From the fields of a POST to /v1/images/generations, /v1/audio/generations or /v1/videos, as the server takes
    them.

    Raises Refusal that names the field, PromptError.
    """
    server_only = SERVER_ONLY - ({"size"} if entry.spec.modality == "video" else set())
    if pointless := sorted(server_only & fields.keys()):
        raise Refusal(f"{pointless[0]} has a meaning only for the server")
    try:
        body = BODIES[entry.spec.modality].model_validate(fields)
        sampling, plan = sampling_for(entry.spec, body), plan_for(entry.spec, body)
        if isinstance(body, VideoFields):
            return _video(entry.spec, body, sampling, clips)
        if clips != NO_CLIPS:
            raise Refusal(f"{entry.spec.id} makes no videos: it takes no clips")
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


def _video(spec: DecoderSpec, body: VideoFields, sampling: Sampling, clips: Clips) -> Recipe:
    """Raises ApiError."""
    shot = shot_for(spec, body, _clip(spec, clips.before, "input"), _clip(spec, clips.behind, "end"))
    output = video_output(spec, body, sampling.num_inference_steps, shot.delivered, shot.fps)
    request = GenerationRequest(
        "generate", None, sampling, secrets.randbits(DRAWN_BITS) if body.seed is None else body.seed,
        frames=shot.frames, clip_task=shot.task, past=shot.past, future=shot.future,
    )  # fmt: skip
    return Recipe(request, None, replace(output, keep=shot.keep))


def _clip(spec: DecoderSpec, paths: tuple[Path, ...], name: str) -> Clip | None:
    """Raises Refusal."""
    if not paths:
        return None
    footage, found = footage_of(spec), []
    for path in paths:
        try:
            limits = ClipLimits(footage.most, MOST_PIXELS)
            found.append(read_clip(path.read_bytes(), footage.channels, spec.size, limits))
        except UploadError as error:
            raise Refusal(f"--{name} {path}: {error}") from None
    return Clip(np.concatenate([one.frames for one in found]), found[0].fps)


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
    """One JSON object a line, with the fields of a POST to the model's endpoint."""
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
    if spec.modality == "video":
        output = _repeated(spec, path, tags)
        official = sampling.final_denoise == "official"
        executed = tuple(block_steps(tags["plan"], official))
        if set(executed) != {sampling.num_inference_steps}:  # it was shortened
            sampling = replace(sampling, block_steps=executed)
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
        clip_task=tags.get("clip_task"),
    )
    return Recipe(request, tags["prompt"], output, tags["sample"])


def _repeated(spec: DecoderSpec, path: Path, tags: Mapping[str, Any]) -> VideoOutput:
    """How the video in `path` left. Raises Refusal where it was made from frames that its tags do not hold."""
    if tags["clip_task"] != "unconditional":
        raise Refusal(f"{path} was made from other frames ({tags['clip_task']}), which its tags do not hold")
    upload = read_clip(path.read_bytes(), footage_of(spec).channels, None, ClipLimits(tags["frames"], MOST_PIXELS))
    height, width = upload.frames.shape[1:3]
    fps = upload.fps or footage_of(spec).fps
    return VideoOutput("mp4", fps, width, height, width // spec.size[0], len(upload.frames), "auto")
