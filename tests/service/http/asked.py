"""Jobs as clients ask for them, for tests of what outlives a connection."""

import asyncio
import json
from io import BytesIO

import httpx2
import numpy as np
from PIL import Image

from tests.fakes_http import picture

URL = "/v1/images/generations"
LATER = {"prefer": "respond-async"}
KEY = {"idempotency-key": "order 66"}
SHIRT = {"prompt": "shirt", "seed": 3}


async def until_ended(http: httpx2.AsyncClient, id: str) -> dict:
    while (job := (await http.get(f"/v1/jobs/{id}")).json())["completed_at"] is None:
        await asyncio.sleep(0.001)
    return job


async def ended(http: httpx2.AsyncClient, **body: object) -> dict:
    """A job that was asked for and has ended."""
    answer = await http.post(URL, json=SHIRT | body, headers=LATER)
    assert answer.status_code == 202, answer.text
    return await until_ended(http, answer.json()["id"])


def pixels(file: bytes) -> np.ndarray:
    return np.array(Image.open(BytesIO(file)))


def told(text: str) -> list[tuple[str, dict]]:
    """The id and the data of every event."""
    messages = [dict(line.split(": ", 1) for line in one.splitlines() if line[:1] != ":") for one in text.split("\n\n")]
    return [(one.get("id", ""), json.loads(one["data"])) for one in messages if "data" in one]


def edited(seed: int) -> dict[str, bytes]:
    """A picture and a mask that frees its upper half."""
    source, mask = BytesIO(), BytesIO()
    Image.fromarray(picture(seed, 0)).save(source, "PNG")
    hole = np.full((8, 8, 4), 255, np.uint8)
    hole[:4, :, 3] = 0
    Image.fromarray(hole).save(mask, "PNG")
    return {"image": source.getvalue(), "mask": mask.getvalue()}
