"""The waiting room: bounded, ordered by priority, owners' shares and urgency."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from service.engine.entry import Job
from service.engine.events import Waiting
from service.engine.policy import Policy
from service.engine.request import QueueFull


class WaitingRoom:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._jobs: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def add(self, job: Job) -> None:
        self._jobs[job.ticket.id] = job

    def get(self, ticket_id: str) -> Job | None:
        return self._jobs.get(ticket_id)

    def pop(self, ticket_id: str) -> Job | None:
        return self._jobs.pop(ticket_id, None)

    @property
    def full(self) -> bool:
        return len(self._jobs) >= self._policy.max_waiting

    @property
    def crowded(self) -> bool:
        """From here on requests that allow it lose steps."""
        return len(self._jobs) >= self._policy.shed_mark * self._policy.max_waiting

    def next(self, now: float, fits: Callable[[Job], bool | None], held: Mapping[str, int]) -> Job | None:
        """Take out whoever is to run: by priority, then the owner with the fewest running samples
        (`held`), then urgency, then age. `fits` is None where the model is not loaded.

        One that does not fit is overtaken for `policy.bypass` seconds, then nobody passes it.
        """
        first = min(self._jobs.values(), key=self._turn(now, held), default=None)
        if first is not None and fits(first):  # the usual case needs no sorting
            return self._jobs.pop(first.ticket.id)
        for job in self.order(now, held):
            match fits(job):
                case True:
                    return self._jobs.pop(job.ticket.id)
                case False if now - job.submitted > self._policy.bypass:
                    return None
        return None

    def order(self, now: float, held: Mapping[str, int]) -> list[Job]:
        """All that wait, in their turn."""
        return sorted(self._jobs.values(), key=self._turn(now, held))

    def moved(self, now: float, held: Mapping[str, int]) -> list[Waiting]:
        """News for those who want to know their place."""
        if not any(job.ticket.progress for job in self._jobs.values()):
            return []
        news: list[Waiting] = []
        for place, job in enumerate(self.order(now, held), start=1):
            if job.ticket.progress and job.place != place:
                job.place = place
                news.append(Waiting(job.ticket.id, place))
        return news

    def _turn(self, now: float, held: Mapping[str, int]) -> Callable[[Job], tuple[int, int, float, int]]:
        aging = self._policy.aging
        return lambda job: (job.level(now, aging), held.get(job.ticket.owner, 0), job.urgency, job.number)


class DrainRate:
    """Requests that end per second, measured while there is work."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._ends: deque[float] = deque(maxlen=32)

    def restart(self, now: float) -> None:
        """Work begins after an idle time."""
        self._ends.clear()
        self._ends.append(now)

    def ended(self, now: float) -> None:
        self._ends.append(now)

    def refusal(self, now: float) -> QueueFull:
        """Come back when about a quarter of the room should have emptied; 1 to 60 s."""
        if len(self._ends) < 2:
            return QueueFull(self._policy.retry_after)
        interval = (now - self._ends[0]) / (len(self._ends) - 1)
        return QueueFull(min(max(interval * self._policy.max_waiting / 4, 1.0), 60.0))
