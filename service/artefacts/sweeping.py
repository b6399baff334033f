"""Removing what is over: beside the requests, in a thread, at most once a minute."""

import asyncio
from collections.abc import Callable

import structlog

EVERY_SECONDS = 60.0

log = structlog.get_logger()


class Sweeper:
    """Runs `sweep`, a blocking function. `now` is in seconds; a clock that jumps back starts a new minute."""

    def __init__(self, sweep: Callable[[], None], now: Callable[[], float]) -> None:
        self._sweep = sweep
        self._now = now
        self._last: float | None = None
        self._task: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """Start a sweep, unless one runs or the last one began less than a minute ago."""
        now = self._now()
        running = self._task is not None and not self._task.done()
        if running or (self._last is not None and 0 <= now - self._last < EVERY_SECONDS):
            return
        self._last = now
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Wait for the sweep that runs."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(self._sweep)
        except Exception as error:  # whatever a file system's library raises: the next minute tries again
            log.warning("artefacts could not be swept", why=str(error))
