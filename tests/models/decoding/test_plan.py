"""Plans: their text, their groups, and that what was executed stays when the rest is shortened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decoding.annealing import anneal
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import continue_counts, reveal_counts
from models.spec import Sampling

steps = st.lists(st.integers(1, 500), min_size=1, max_size=8).map(tuple)
plans = st.lists(steps, min_size=1, max_size=8).map(lambda groups: Plan(tuple(groups)))


@given(plans)
def test_text_and_back(plan: Plan) -> None:
    assert Plan.parse(str(plan)) == plan


@given(st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 3)), min_size=1, max_size=6))
def test_what_reveals_nothing_is_counted(runs: list[tuple[int, int]]) -> None:
    plan = Plan(tuple((reveals,) for zeros, last in runs for reveals in (*[0] * zeros, last)))
    assert Plan.parse(str(plan)) == plan
    assert len(str(plan)) < 60 * len(runs)


def test_a_block_of_a_hundred_steps_is_short() -> None:
    assert str(Plan(((0,),) * 99 + ((5,),))) == "99*0,5"


@pytest.mark.parametrize("text", ["9*0", "1001*0", "10*1", "*0", "-5*0", "10*0*0", "10*"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="reads like"):
        Plan.parse(text)


@given(plans)
def test_the_parts_add_up(plan: Plan) -> None:
    assert plan.full + plan.reuse == plan.steps == len(plan.reveals)
    assert plan.total == sum(map(sum, plan.groups))
    assert plan.boundaries[0] == 0 and plan.boundaries[-1] == plan.steps
    assert len(plan.boundaries) == plan.full + 1


@given(plans, st.data())
def test_head_and_rest_make_the_plan(plan: Plan, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, plan.full))
    head = plan.head(plan.boundaries[cut])
    assert head.then(Plan(plan.groups[cut:])) == plan


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(0, 4), st.integers(0, 6))
def test_groups_hold_one_full_step_and_the_cheap_ones(reveals: list[int], reuse: int, full_first: int) -> None:
    plan = grouped(reveals, reuse, full_first)
    assert list(plan.reveals) == reveals
    assert all(len(group) == 1 for group in plan.groups[:full_first])
    assert all(len(group) == 1 + reuse for group in plan.groups[full_first:-1])
    assert len(plan.groups[-1]) <= 1 + reuse


def test_a_plan_as_text() -> None:
    assert str(grouped([1, 2, 4, 6, 6, 7], 1, 2)) == "1,2,4+6,6+7"


@pytest.mark.parametrize("text", ["", "1,", "a", "1;2", "1+,2", "-1,2", "3,-1", "1.5"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plan"):
        Plan.parse(text)


def sampling_of(schedule: str, heats: bool) -> Sampling:
    return Sampling(
        schedule=schedule,
        reuse=1,
        anneal=heats,
        temperature=0.7,
        choice_temperature=4.0,
        guidance_scale=3.0,
        guidance_schedule="linear",
    )


@given(st.sampled_from(["cosine", "linear", "power:2.5"]), st.booleans(), st.integers(4, 64), st.data())
def test_shortening_leaves_the_steps_taken_as_they_were(
    schedule: str, heats: bool, total: int, data: st.DataObject
) -> None:
    sampling = sampling_of(schedule, heats)
    plan = grouped(reveal_counts(schedule, total, data.draw(st.integers(2, min(total, 16)))), 1, 0)
    taken = plan.boundaries[data.draw(st.integers(0, plan.full - 1))]
    left = total - sum(plan.reveals[:taken])
    rest = grouped(continue_counts(schedule, left, total, data.draw(st.integers(1, left))), 1, 0)
    long, short = anneal(plan, sampling), anneal(plan.head(taken).then(rest), sampling)
    assert long.temperature[:taken] == short.temperature[:taken]
    assert long.choice_temperature[:taken] == short.choice_temperature[:taken]
    assert long.guidance[:taken] == short.guidance[:taken]


def test_annealing_ends_where_it_should() -> None:
    plan = grouped(reveal_counts("linear", 16, 4), 0, 0)
    annealed = anneal(plan, sampling_of("linear", True))
    assert annealed.temperature[0] == 1.0 and min(annealed.temperature) > 0.7
    assert annealed.choice_temperature == pytest.approx((3.0, 2.0, 1.0, 0.0))
    assert annealed.guidance == pytest.approx((1.5, 2.0, 2.5, 3.0))
    plain = anneal(plan, Sampling(guidance_scale=3.0, temperature=0.7))
    assert set(plain.guidance) == {3.0} and set(plain.temperature) == {0.7}
