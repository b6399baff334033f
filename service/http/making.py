"""A checked request for media, and its finished samples: what all media share."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel

from models.decoder import Artifact
from models.spec import DecoderSpec
from service.dispatch.base import Terms
from service.engine.events import Done, Event, Preview, Report
from service.engine.request import Ticket

if TYPE_CHECKING:
    from service.http.services import Services

Delivery = Literal["b64_json", "url", "file"]


class Output(Protocol):
    """How finished samples leave."""

    @property
    def format(self) -> str:
        """The ending of their files."""

    def media(self, made: np.ndarray) -> np.ndarray:
        """What is delivered, from what the decoder made."""
        ...

    def file(self, media: np.ndarray, tags: Mapping[str, object] | None) -> bytes: ...


class Told(BaseModel):
    """An event of a stream."""

    type: str


class Medium(Protocol):
    """What a group of endpoints says of its samples. Its `kind` is in the notes of kept requests (`service.packed`)."""

    @property
    def kind(self) -> str: ...

    @property
    def prefix(self) -> str:
        """Of the ids of results."""

    @property
    def noun(self) -> str:
        """Of the names of files."""

    @property
    def types(self) -> Mapping[str, str]:
        """Media types by format."""

    def whole(self, job: "Job", made: "list[Made]", done: Done, seconds: float) -> BaseModel:
        """The answer to a request that is not streamed; `seconds` since it came in."""
        ...

    def partial(self, job: "Job", event: Preview, file: bytes) -> Told: ...

    def completed(self, job: "Job", made: "Made") -> Told: ...

    def news(self, job: "Job", event: Event) -> Told | None:
        """What `progress` adds to a stream; None for events that are no news, and where nobody asked."""
        ...

    def detail(self, artifact: Artifact) -> dict[str, Any]:
        """What `progress` adds to samples."""
        ...

    def output_note(self, output: Any) -> dict[str, Any]:
        """Plain values, without what an edit keeps."""
        ...

    def read_output(self, note: dict[str, Any]) -> Output: ...

    async def kept(self, services: "Services", job: "Job", source: bytes) -> Output:
        """The output of an edit, with what it keeps of `source`. Raises ApiError."""
        ...


@dataclass(frozen=True)
class Job:
    """A checked request. `understood` is what the model took from the prompt; `name` begins its events' types; `base`
    is where links begin."""

    medium: Medium
    ticket: Ticket
    spec: DecoderSpec
    output: Output
    understood: str | None
    safety_identifier: str | None
    name: str
    base: str
    delivery: Delivery
    terms: Terms
    source: bytes | None = None  # what an edit of a kept request was made from


@dataclass(frozen=True)
class Made:
    """A finished sample: its report, its file and the link to it, where these are wanted, and its details."""

    report: Report
    file: bytes | None = None
    url: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def file_key(job: Job, sample: int) -> str:
    """Where the store has a sample's file."""
    return f"{job.ticket.id}/{job.medium.noun}-{sample}.{job.output.format}"


def result_id(job: Job, sample: int) -> str:
    return f"{job.medium.prefix}_{job.ticket.id.removeprefix('req_')}_{sample}"


def headers(job: Job, made: list[Made]) -> dict[str, str]:
    """How the samples were made, for clients that keep headers; the first one speaks for all."""
    report = made[0].report
    return {
        **early_headers(job),
        "x-maskserve-plan": report.plan,
        "x-maskserve-steps": f"{report.steps_full + report.steps_reuse}",
        "x-maskserve-fingerprint": report.fingerprint,
    }


def early_headers(job: Job) -> dict[str, str]:
    """What is known before the first step."""
    return {
        "x-maskserve-seed": str(job.ticket.request.seed),
        "x-maskserve-model": job.spec.id,
        "x-maskserve-checkpoint": job.spec.checkpoint,
        **({"x-maskserve-job": job.ticket.id} if job.terms.kept else {}),
    }


def b64(made: Made) -> str | None:
    """The file inside JSON, unless there is a link to it."""
    return b64encode(made.file).decode() if made.file is not None and made.url is None else None
