"""What a group of endpoints must know about its kept requests, for routes that serve all of them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from service.dispatch.base import Known, Subscription
from service.engine.events import Done, SampleDone

if TYPE_CHECKING:
    from service.http.context import Context
    from service.http.making import Job


@dataclass(frozen=True)
class File:
    content: bytes
    media_type: str
    name: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "content-disposition": f'inline; filename="{self.name}"',
            "cache-control": "private, max-age=60",
            "x-content-type-options": "nosniff",
        }


class Kind(Protocol):
    """Found by the `kind` of a request's note (`service.packed`), which also has `name`, `model` and `delivery`."""

    async def result(self, known: Known, made: list[SampleDone], done: Done, base: str, inline: bool) -> dict[str, Any]:
        """The JSON answer of a request that is done. base: where links begin; inline: with the files themselves where
        that was asked for."""
        ...

    async def file(self, known: Known, index: int) -> File:
        """One finished file. Raises ApiError."""
        ...

    async def forget(self, known: Known) -> None:
        """Drop its files."""
        ...

    async def job_of(self, known: Known) -> "Job":
        """The checked request, with what an edit keeps. Raises ApiError, StoreAway."""
        ...

    async def stream(self, context: "Context", known: Known, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        """Its events, framed, from where the subscription begins."""
        ...
