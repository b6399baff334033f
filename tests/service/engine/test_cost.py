"""The learned cost of a forward."""

from random import Random

import pytest

from service.engine.cost import CostModel, Line


def measured(pairs: list[tuple[int, float]]) -> Line:
    line = Line()
    for rows, seconds in pairs:
        line.observe(rows, seconds)
    return line


def test_an_unseen_lane_is_assumed_proportional_and_tried_with_one_entry() -> None:
    costs = CostModel(row_seconds=0.002)
    assert costs.predict("lane", 10) == pytest.approx(0.02)
    assert costs.rows_within("lane", 1.0) == 0


def test_one_measurement_predicts_itself_and_grows_with_the_rows() -> None:
    line = measured([(16, 0.032)])
    assert line.predict(16) == pytest.approx(0.032)
    assert line.predict(32) == pytest.approx(0.064)


def test_a_line_is_recovered_from_noisy_batches_of_many_sizes() -> None:
    random = Random(1)
    rows = [random.randrange(1, 200) for _ in range(200)]
    line = measured([(n, (0.01 + 0.0005 * n) * random.uniform(0.95, 1.1)) for n in rows])
    for n in (10, 50, 150):
        assert line.predict(n) == pytest.approx(0.01 + 0.0005 * n, rel=0.15)


def test_a_slow_first_forward_is_forgotten_at_once() -> None:
    line = measured([(16, 2.0), (16, 0.02), (16, 0.02), (16, 0.02)])
    assert line.predict(16) < 0.05


def test_a_hiccup_hardly_moves_the_prediction() -> None:
    line = measured([(16, 0.02)] * 20 + [(16, 5.0)])
    assert line.predict(16) < 0.03


def test_a_lasting_slowdown_is_learned() -> None:
    line = measured([(16, 0.02)] * 20 + [(16, 0.2)] * 40)
    assert line.predict(16) == pytest.approx(0.2, rel=0.2)


def test_more_rows_never_cost_less_and_the_cap_agrees_with_the_prediction() -> None:
    random = Random(2)
    costs = CostModel(row_seconds=1e-3)
    for _ in range(300):
        costs.observe("lane", random.randrange(1, 64), random.uniform(0.0, 0.1))
        a, b = costs.coefficients("lane")
        assert a >= 0 and b > 0
        cap = costs.rows_within("lane", 0.1)
        assert costs.predict("lane", cap) == pytest.approx(0.1)
