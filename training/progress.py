"""Progress bars of work that is counted in pictures, sounds or clips."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counted(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar while the block runs; call what is yielded with the number of pictures done since."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=2) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda done: progress.advance(bar, done)
