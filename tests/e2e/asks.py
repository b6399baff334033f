"""Random requests over HTTP, and what comes back: the files, whatever way they were asked for."""

import asyncio
import json
from base64 import b64decode
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Any

import httpx2
import numpy as np
import soundfile
from PIL import Image

from models.spec import DecoderSpec
from service.media.videos import encode_video


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, C] with C 1, 3 or 4."""
    out = BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class Ask:
    """One request: `fields` go as JSON, or beside `files` as a form."""

    path: str
    fields: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    group: str = "images"

    @property
    def url(self) -> str:
        return f"/v1/{self.group}/{self.path}".rstrip("/")

    def kwargs(self, **more: Any) -> dict[str, Any]:
        fields = {**self.fields, **more}
        if not self.files and self.path in ("generations", ""):
            return {"json": fields}
        parts: list[tuple[str, Any]] = [(name, (None, str(value).encode())) for name, value in fields.items()]
        parts += [(name, (name, file, "application/octet-stream")) for name, file in self.files.items()]
        return {"files": parts}

    async def whole(self, client: httpx2.AsyncClient) -> list[bytes]:
        """The files, by sample."""
        answer = await client.post(self.url, **self.kwargs())
        assert answer.status_code == 200, answer.text
        if self.group == "videos":
            return [await _fetched(client, answer.json()["id"])]
        return [b64decode(one["b64_json"]) for one in answer.json()["data"]]

    async def streamed(
        self, client: httpx2.AsyncClient, partials: int, hang_up_after: int | None = None
    ) -> tuple[list[bytes], dict[tuple[int, int], bytes]]:
        """The files by sample, and the partial ones by (sample, step).

        After `hang_up_after` events the connection is closed, and nothing comes back.
        """
        made: dict[int, bytes] = {}
        seen: dict[tuple[int, int], bytes] = {}
        count = 0
        asked = {PARTIALS[self.group]: partials}
        kwargs = self.kwargs(stream="true", **asked)
        if "json" in kwargs:
            kwargs["json"]["stream"] = True
        async with client.stream("POST", self.url, **kwargs) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line and count == hang_up_after:
                    return [], {}
                count += bool(line)
                if not line.startswith("data: "):
                    continue
                event = json.loads(line.removeprefix("data: "))
                assert event["type"] != "error", event
                file = b64decode(event["b64_json"])
                if event["type"].endswith(".completed"):
                    made[_sample(event)] = file
                else:
                    seen[_sample(event), event["step"]] = file
        return [made[i] for i in range(len(made))], seen


PARTIALS = {"images": "partial_images", "audio": "partial_audio", "videos": "partial_video"}


def _sample(event: dict[str, Any]) -> int:
    """A video is one."""
    return int(event.get("image_index", event.get("audio_index", 0)))


async def _fetched(client: httpx2.AsyncClient, id: str) -> bytes:
    """The file of a video that is being made."""
    while (video := (await client.get(f"/v1/videos/{id}")).json())["status"] != "completed":
        assert video["status"] != "failed", video
        await asyncio.sleep(0.02)
    return (await client.get(f"/v1/videos/{id}/content")).content


async def made_before(client: httpx2.AsyncClient, spec: DecoderSpec) -> list[str]:
    """Ids of results that edits may name."""
    if spec.modality == "video":
        asked = Ask("", {"model": spec.id, "task": "unconditional", "frames": 6}, group="videos")
        id = (await client.post(asked.url, json=asked.fields)).json()["id"]
        await _fetched(client, id)
        return [id]
    url = "/v1/audio/generations" if spec.modality == "audio" else "/v1/images/generations"
    made = await client.post(url, json={"prompt": (spec.classes or spec.words)[0], "n": 2})
    return [one["id"] for one in made.json()["data"]]


def random_ask(rng: Random, spec: DecoderSpec, seed: int, kept: list[str]) -> Ask:
    """A generation, an edit (uploaded or of a result in `kept`) or a variation, with sampling of its own."""
    makes = {"audio": _sound, "video": _video}.get(spec.modality, _picture)
    return makes(rng, spec, seed, kept)


def wav(samples: np.ndarray, rate: int) -> bytes:
    """int16 [N]."""
    out = BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def _sound(rng: Random, spec: DecoderSpec, seed: int, kept: list[str]) -> Ask:
    assert spec.sound is not None
    most = spec.sound.most_seconds
    fields: dict[str, Any] = {
        "model": spec.id,
        "seed": seed,
        "n": rng.choices([1, 2, 3], [8, 2, 1])[0],
        "guidance_scale": rng.choice([1.0, 3.0]),
        "temperature": rng.choice([0.0, 1.0, 2.0]),
        "top_p": rng.choice([0.9, 1.0]),
        "span_arrangement": rng.choice(["nonoverlap", "stride1"]),
        "prompt": " ".join(rng.sample(spec.words, 2)),
        "loop": rng.random() < 0.3,
        "guidance_share": rng.choice([1.0, 1.0, 0.5]),
        "reuse": rng.choice([0, 0, 1, 3]),
        "rescoring": rng.choice([0.0, 0.0, 0.4]),
    }
    begun = {"head_start": rng.choice([0.0, 0.0, most / 5])}
    if "head_start" not in spec.parameters:  # there is no twin
        begun = {}
        del fields["rescoring"]
    steps = [rng.randint(1, 5) for _ in range(spec.grid[0])]
    if rng.random() < 0.6:
        fields["duration"] = round(most * rng.uniform(0.5, 1.0), 2)
        return Ask("generations", {**fields, **begun, "codebook_steps": steps}, group="audio")
    fields |= {"codebook_steps": ",".join(map(str, steps)), "ranges": f"{most / 8}-{most / 4}"}
    if rng.random() < 0.5:
        return Ask("edits", {**fields, "audio_id": rng.choice(kept)}, group="audio")
    count = int(most * spec.sound.rate / 2)
    noise = np.random.default_rng(seed).integers(-9000, 9000, count).astype(np.int16)
    fields["duration"] = rng.choice([most / 2, most * 0.75])
    return Ask("edits", fields, {"audio": wav(noise, spec.sound.rate)}, "audio")


def _video(rng: Random, spec: DecoderSpec, seed: int, kept: list[str]) -> Ask:
    footage = spec.footage
    assert footage is not None
    fields: dict[str, Any] = {
        "model": spec.id,
        "seed": seed,
        "num_inference_steps": rng.randint(2, 9),
        "sampler": rng.choice(["ddpm", "ddim", "ddim-clipped"]),
        "final_denoise": rng.choice(["off", "official"]),
        "output_format": rng.choice(["mp4", "webm", "gif", "mkv", "zip"]),
    }
    width, height = spec.size
    noise = np.random.default_rng(seed).integers(0, 256, (6, height, width, footage.channels), np.uint8)
    clip = encode_video(noise, 10, "mkv")
    if rng.random() < 0.4:
        first = rng.randrange(6)
        fields["ranges"] = f"{first}-{rng.randint(first, 5)}"
        if rng.random() < 0.5:
            return Ask("edits", {**fields, "video_id": rng.choice(kept)}, group="videos")
        return Ask("edits", fields, {"video": clip}, "videos")
    task = rng.choice(footage.tasks)
    fields |= {"task": task, "frames": footage.block if task == "interpolation" else rng.randint(1, 7)}
    if task == "unconditional":
        return Ask("", fields, group="videos")
    return Ask("", fields, {"input_reference": clip}, "videos")


def _picture(rng: Random, spec: DecoderSpec, seed: int, kept: list[str]) -> Ask:
    steps = int(rng.triangular(4, 33, 4))
    fields: dict[str, Any] = {
        "model": spec.id,
        "seed": seed,
        "n": rng.choices([1, 2, 3, 4], [8, 2, 1, 1])[0],
        "num_inference_steps": min(steps, spec.max_steps),
        "guidance_scale": rng.choice([1.0, 1.0, 2.5]),
        "reuse": rng.choice([0, 1, 2]),
        "temperature": rng.choice([0.7, 1.0]),
        "choice_temperature": rng.choice([0.0, 2.0, 4.5]),
        "top_k": rng.choice([0, 0, 8]),
        "diffusion_steps": rng.choice([4, 7]),
        "diffusion_reuse": rng.choice([0.5, 1.0]),
        "prompt": rng.choice(spec.classes),
    }
    known = {"model", "seed", "n", "prompt"} | spec.parameters
    fields = {name: value for name, value in fields.items() if name in known}
    kind = rng.choices(["generations", "edits", "variations"], [6, 3, 2])[0]
    if kind == "generations":
        return Ask(kind, fields)
    width, height = spec.size
    channels = 1 if spec.details["channels"] == 1 else 3
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    if kind == "variations":
        return Ask(kind, {**fields, "strength": rng.choice([0.3, 0.8])}, {"image": png(noise)})
    mask = np.full((height, width, 4), 255, np.uint8)
    top, left = rng.randrange(height // 2), rng.randrange(width // 2)
    mask[top : top + height // 2, left : left + width // 2, 3] = 0
    if rng.random() < 0.5:
        return Ask(kind, {**fields, "image_id": rng.choice(kept)}, {"mask": png(mask)})
    return Ask(kind, fields, {"image": png(noise), "mask": png(mask)})
