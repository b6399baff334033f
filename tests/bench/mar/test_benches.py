"""Every bench of MAR runs at the smallest size and stores what it says it measures."""

from pathlib import Path

import pytest

from bench.mar import batching, newcomer, recap, runs, steps
from bench.mar.models import load
from tests.bench.contexts import FlatJudge, column, quick_context, tables
from tests.tiny import tiny_mar_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mar_checkpoint(tmp_path_factory.mktemp("mar"))


def test_batching_compares_with_the_faster_loop(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    batching.run(context)
    [table] = tables(context)
    assert column(table, "concurrent") == [1, 4, 8]
    for mine, plain, own, ratio in zip(
        *(column(table, title) for title in table["columns"][2:6]),
        strict=True,
    ):
        faster = max(plain["median"], own["median"])
        assert ratio["median"] == pytest.approx(mine["median"] / faster, rel=1e-2)
    alone = table["rows"][0]
    assert alone[5]["median"] * alone[6]["median"] == pytest.approx(1.0, rel=1e-2)
    assert alone[-2:] == [1.0, 1.0] and 1.0 < table["rows"][-1][-1] <= 8.0


def test_a_newcomer_hears_after_its_step_which_begins_after_it_came(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    newcomer.run(context)
    [table] = tables(context)
    assert column(table, "tick") == ["20 ms", "whole chains"]
    begins, committed, first = (column(table, title) for title in ("step begins", "step committed", "first tokens"))
    for b, c, f in zip(begins, committed, first, strict=True):
        assert 0.0 <= b["p50"] < c["p50"] < f["p50"] <= f["max"] and b["n"] == 2
    assert table["rows"][-1][-1]["median"] == 100.0
    assert all(rate["median"] > 0 for rate in column(table, "work of those running"))


def test_steps_alone_and_together(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    steps.run(context)
    for table in tables(context):
        assert column(table, "tokens each") == [1, 4]
        small, large = table["rows"]
        assert 0.0 < small[3] < large[3] < 1.0  # more targets, more rows
        assert all(row[6] < row[3] for row in table["rows"])  # a kept buffer saves rows


def test_whole_runs_and_their_bounds(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    runs.run(context)
    measured, published = tables(context)
    [row] = measured["rows"]
    plain_steps, plain_chains, recap_steps, recap_chains, faster = (cell["median"] for cell in row[1:6])
    assert faster == pytest.approx((plain_steps + plain_chains) / (recap_steps + recap_chains), rel=1e-2)
    assert 1.0 < row[6] < 2.0 and 1.0 < row[8] < 2.0
    assert column(published, "reuse u") == [3, 3]
    kept, whole = published["rows"]
    assert kept[6] > whole[6] and kept[8] == whole[8]  # full chains in reuse steps cost what they save elsewhere


def test_recap_names_the_gain_and_its_bound(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint, full=True)
    recap.measure(context, load(checkpoint, "cpu", "float32"), FlatJudge())
    settings, gain, confirmed = tables(context)
    assert column(settings, "reuse u") == [0, 1] and column(settings, "FID-cls") == [5.0, 5.0]
    plain, reuse = settings["rows"]
    assert plain[9] == 1.0 and reuse[9] > 1.0
    assert gain["rows"][1][-2] > 0.0 and gain["rows"][1][7]["n"] == 1
    assert [row[7]["n"] for row in confirmed["rows"]] == [2, 2]


def test_without_a_trained_checkpoint_there_is_nothing_to_score(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    recap.run(context)
    assert tables(context) == []
