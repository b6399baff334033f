"""Webhooks of jobs: who may be told, and what."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.dispatch.base import Jobs, Known
from service.http.errors import ApiError, invalid
from service.http.job_answers import job_ended, job_object
from service.http.kinds import Kind
from service.webhooks.address import checked
from service.webhooks.networks import Network


@dataclass(frozen=True)
class Webhooks:
    """hosts: whom clients may name, none where the server delivers nothing; networks: reached beside public ones."""

    hosts: list[str]
    networks: tuple[Network, ...] = ()

    def checked(self, url: str | None, later: bool) -> str:
        """Raises ApiError 400."""
        if url is None:
            return ""
        if not later:
            raise invalid("webhook needs the header Prefer: respond-async.", "webhook")
        if not self.hosts:
            raise ApiError(400, "This server delivers no webhooks.", "webhooks_disabled", "webhook")
        try:
            return checked(url, self.hosts, self.networks)
        except ValueError as error:
            raise invalid(f"webhook: {error}.", "webhook") from None


def body_of(jobs: Jobs, kind_of: Callable[[Known], Kind], public_url: str) -> Callable[[str], Awaitable[bytes | None]]:
    """What is told of a job's end, by the ledger's id of it; None for a job that is forgotten or runs again."""

    async def body(end_id: str) -> bytes | None:
        id, _, ended = end_id.rpartition("-")
        known = await jobs.find(id)
        if known is None or known.ended is None or round(1000 * known.ended) != int(ended):
            return None
        job = await job_object(known, await jobs.told(id), public_url, kind_of(known))
        return job_ended(known, job).model_dump_json().encode()

    return body
