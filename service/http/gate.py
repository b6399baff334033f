"""The door: open, or closed for new work while the running requests finish."""

from service.dispatch.base import Dispatcher


class Gate:
    def __init__(self) -> None:
        self.draining = False
        self._drained = False

    def close(self) -> None:
        """From now on new work is refused."""
        self.draining = True

    async def drain(self, dispatcher: Dispatcher, seconds: float) -> None:
        """Close, and let the dispatcher finish what runs; once, however often it is asked."""
        self.close()
        if not self._drained:
            self._drained = True
            await dispatcher.drain(seconds)
