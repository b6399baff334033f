import numpy as np

from models.family import Understood
from service.http.results import Result, Results


def result(owner: str = "") -> Result:
    return Result("toy", owner, Understood(1, "1"), np.zeros((8, 8, 3), np.uint8), np.zeros(16, np.int64))


def test_results_expire_by_age_and_bytes_and_belong_to_their_owner() -> None:
    clock = [0.0]
    size = result().size
    results = Results(2 * size, 10.0, lambda: clock[0])
    first = results.keep(result("a"))
    assert results.find(first, "a") is not None
    assert results.find(first, "b") is None
    clock[0] = 5.0
    second = results.keep(result("a"))
    third = results.keep(result("a"))
    assert results.find(first, "a") is None  # the oldest makes room
    assert results.find(second, "a") is not None
    clock[0] = 15.0
    assert results.find(second, "a") is None
    assert results.find(third, "a") is None
