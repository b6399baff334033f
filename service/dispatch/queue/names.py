"""The queues: one per model and priority class, so that a worker takes what it can run, and the urgent first."""

from collections.abc import Iterable

from redis.asyncio import Redis
from saq import Job
from saq.queue.redis import RedisQueue

from service.engine.request import Priority

FUNCTION = "run"
HEARTBEAT_SECONDS = 3  # without a sign of life a job is given to somebody else


def queue_name(model: str, priority: Priority) -> str:
    return f"maskserve.{model}.{priority.name.lower()}"


def open_queues(redis: Redis, models: Iterable[str]) -> dict[tuple[str, Priority], RedisQueue]:
    """Every queue of these models, the urgent classes first. A process that produces and works needs two sets."""
    names = [(model, priority) for priority in Priority for model in models]
    return {key: RedisQueue(redis, name=queue_name(*key), swept_error_message="its worker died") for key in names}


def new_job(id: str) -> Job:
    """A job that is tried as often as it takes: who fails is decided by `records`, not by a number of tries."""
    return Job(FUNCTION, key=id, timeout=0, heartbeat=HEARTBEAT_SECONDS, retries=1_000_000, ttl=60)
