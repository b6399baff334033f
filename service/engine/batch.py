"""What one tick runs, and the record of it."""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

from models.decoder import IterativeDecoder, Kind, Sequence, Work
from service.engine.entry import Entry, Item, Lane, Partial


@dataclass(frozen=True)
class StepRecord:
    """A committed batch, for tests and metrics; `full` counts samples at a group's first step, `times` forwards."""

    lane: Lane
    samples: int
    full: int
    rows: int
    requests: tuple[str, ...]
    predicted: float
    elapsed: float
    ended: float
    times: int = 1

    @property
    def kind(self) -> Kind:
        return self.lane.kind


@dataclass(frozen=True)
class Batch:
    """What one tick runs: `run(work, sequences)`, `preview(snapshots)` or `finish(sequences)`."""

    lane: Lane
    decoder: IterativeDecoder
    entries: tuple[Item, ...]
    work: Work  # of all: rows is their sum, times what each is to run
    predicted: float  # seconds

    @property
    def model(self) -> str:
        return self.lane.model

    @property
    def kind(self) -> Kind:
        return self.lane.kind

    @property
    def rows(self) -> int:
        return self.work.rows

    @property
    def sequences(self) -> list[Sequence]:
        return [item.seq for item in self.entries if isinstance(item, Entry)]

    @property
    def snapshots(self) -> list[object]:
        return [item.snapshot for item in self.entries if isinstance(item, Partial)]

    def part(self, entries: Iterable[Item]) -> "Batch":
        """Some of it, before anything of it is committed."""
        chosen = tuple(entries)
        return replace(self, entries=chosen, work=replace(self.work, rows=_rows(chosen)))

    def halves(self) -> tuple["Batch", "Batch"]:
        middle = len(self.entries) // 2
        return self.part(self.entries[:middle]), self.part(self.entries[middle:])

    def record(self, elapsed: float, now: float) -> StepRecord:
        """It ran in `elapsed` seconds and ended at `now`."""
        return StepRecord(
            lane=self.lane,
            samples=len(self.entries),
            full=sum(isinstance(item, Entry) and item.full for item in self.entries),
            rows=self.rows,
            requests=tuple(dict.fromkeys(item.job.ticket.id for item in self.entries)),
            predicted=self.predicted,
            elapsed=elapsed,
            ended=now,
            times=self.work.times,
        )

    def holding(self, sequences: Seq[Sequence]) -> tuple[Item, ...]:
        """The entries of these sequences."""
        wanted = set(map(id, sequences))
        return tuple(e for e in self.entries if isinstance(e, Entry) and id(e.seq) in wanted)


def _rows(entries: tuple[Item, ...]) -> int:
    return sum(item.work.rows for item in entries)
