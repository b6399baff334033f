"""A client's day, through the public API only: the same against any set-up. `python -m tests.chaos.client URL`."""

import base64
import io
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx2
from openai import OpenAI
from PIL import Image

BAG = {"prompt": "bag", "num_inference_steps": 12}


class Client:
    def __init__(self, url: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=120)
        self.openai = OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=2)

    def day(self, mark: str) -> dict[str, list[bytes]]:
        """Everything once; the pictures under what was done. mark: of this run, for keys."""
        try:
            return {
                "sdk": self.sdk(),
                "stream": self.stream(),
                "links": self.links(),
                "edit": self.edit(),
                "job": self.job(),
                "key": self.repeated(mark),
                "resumed": self.resumed(mark),
            }
        finally:
            self.http.close()
            self.openai.close()

    def ask(self, path: str = "/v1/images/generations", **more: Any) -> httpx2.Response:
        answer = self.http.post(path, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer

    def sdk(self) -> list[bytes]:
        answer = self.openai.images.generate(prompt="bag", n=2, extra_body={"seed": 1, "num_inference_steps": 12})
        assert answer.data is not None
        return [base64.b64decode(one.b64_json or "") for one in answer.data]

    def stream(self) -> list[bytes]:
        events = self.openai.images.generate(
            prompt="bag", stream=True, partial_images=2, extra_body={"seed": 2, "num_inference_steps": 12}
        )
        found = list(events)
        assert [event.type.rpartition(".")[2] for event in found] == ["partial_image"] * (len(found) - 1) + [
            "completed"
        ]
        return [base64.b64decode(found[-1].b64_json)]

    def links(self) -> list[bytes]:
        made = self.ask(json=BAG | {"seed": 3, "n": 2, "response_format": "url"}).json()
        return [self.http.get(one["url"]).content for one in made["data"]]

    def edit(self) -> list[bytes]:
        """Of an earlier result, by its name."""
        [made] = self.ask(json=BAG | {"seed": 4}).json()["data"]
        mask = Image.new("RGBA", Image.open(io.BytesIO(base64.b64decode(made["b64_json"]))).size, (0, 0, 0, 255))
        mask.paste((0, 0, 0, 0), (0, 0, mask.width // 2, mask.height))
        file = io.BytesIO()
        mask.save(file, "PNG")
        fields = {"prompt": "bag", "image_id": made["id"], "seed": "5"}
        answer = self.ask("/v1/images/edits", data=fields, files={"mask": file.getvalue()})
        return [base64.b64decode(one["b64_json"]) for one in answer.json()["data"]]

    def job(self) -> list[bytes]:
        accepted = self.ask(json=BAG | {"seed": 6, "n": 3}, headers={"prefer": "respond-async"})
        place = accepted.headers["location"]
        while (job := self.http.get(place).json())["status"] in ("queued", "in_progress"):
            time.sleep(int(accepted.headers["openai-poll-after-ms"]) / 10_000)
        assert job["status"] == "completed" and job["progress"] == 100, job
        assert self.http.get("/v1/jobs").json()["data"][0]["id"] == job["id"]
        files = [self.http.get(f"{place}/content", params={"index": index}).content for index in range(3)]
        assert [self.http.get(one["url"]).content for one in job["result"]["data"]] == files
        assert self.http.delete(place).json()["deleted"] and self.http.get(place).status_code == 404
        return files

    def repeated(self, mark: str) -> list[bytes]:
        """As after a timeout: the same key, the same request, the same answer."""
        key = {"idempotency-key": f"{mark} repeated"}
        answers = [self.ask(json=BAG | {"seed": 7}, headers=key) for _ in range(2)]
        assert len({answer.headers["x-maskserve-job"] for answer in answers}) == 1
        assert self.http.post("/v1/images/generations", json={"prompt": "coat"}, headers=key).status_code == 409
        first, second = (base64.b64decode(answer.json()["data"][0]["b64_json"]) for answer in answers)
        assert first == second
        return [first]

    def resumed(self, mark: str) -> list[bytes]:
        """A stream whose connection breaks is read on."""
        body = {"prompt": "bag", "num_inference_steps": 48, "n": 3, "seed": 8, "stream": True, "progress": True}
        key = {"idempotency-key": f"{mark} resumed"}
        with self.http.stream("POST", "/v1/images/generations", json=body, headers=key) as answer:
            place, events = f"/v1/jobs/{answer.headers['x-maskserve-job']}/events", messages(answer)
            at = next(id for id, event in events if event["type"].endswith(".step") and event["step"] >= 4)
        with self.http.stream("GET", place, headers={"last-event-id": at}) as answer:
            found = {
                event["image_index"]: event
                for _, event in messages(answer)
                if event["type"] == "image_generation.completed"
            }
        return [base64.b64decode(found[index]["b64_json"]) for index in range(3)]


def messages(answer: httpx2.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and the data of every server-sent event."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield fields.get("id", ""), json.loads(fields["data"])
            fields = {}


if __name__ == "__main__":
    made = Client(sys.argv[1]).day(f"{time.time()}")
    print("\n".join(f"{name}: {len(files)} pictures" for name, files in made.items()))
