"""How a run ends early, in words that say what to change; and the signals that end one in good order."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from safetensors import SafetensorError


class TrainingFailed(Exception):
    """A run cannot go on; one line that says what to change."""


class Stopped(Exception):
    """A signal ended the run after step `step`, which is saved."""

    def __init__(self, step: int, directory: Path) -> None:
        super().__init__(f"stopped after step {step}, which is saved in {directory}: the same command goes on")
        self.step = step


class Signals:
    """While active, Ctrl-C and SIGTERM only set `raised`; a second one has its usual effect."""

    def __init__(self) -> None:
        self.raised = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._on)
            except ValueError:  # not the main thread: somebody else listens
                return self
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _on(self, number: int, frame: FrameType | None) -> None:
        self.raised = True
        self.__exit__()


@contextmanager
def explained(stage: str, directory: Path) -> Iterator[None]:
    """Turn what commonly ends a run into TrainingFailed."""
    try:
        yield
    except MemoryError:
        raise TrainingFailed(out_of_memory(stage)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingFailed(
            f"the disk of {directory} is full: free some space and run the same command; the last saved state is whole"
        ) from None
    except SafetensorError as error:
        raise TrainingFailed(f"{directory} cannot be written (is the disk full?): {error}") from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise TrainingFailed(out_of_memory(stage)) from None
        if any(hint in str(error) for hint in ("file write failed", "unexpected pos", "No space left")):  # torch.save
            raise TrainingFailed(
                f"{directory} cannot be written (is the disk full?); the last saved state is whole"
            ) from None
        raise


def out_of_memory(stage: str) -> str:
    return f"out of memory: halve the batch with --set {stage}.train.batch=N, or train smaller pictures"


def not_finite(stage: str, step: int, lr: float) -> str:
    return (
        f"the loss was not finite at step {step}: lower the rate, --set {stage}.train.lr={lr / 2:g}, "
        "and run the same command; it goes on from the last saved state"
    )
