"""Benches of MaskGIT that need no server run at the smallest size."""

from pathlib import Path

import pytest

from bench import batching, overhead, quality, reuse
from bench.models import load
from tests.bench.contexts import FlatJudge, column, quick_context, tables
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("maskgit"))


def test_batching(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    batching.run(context)
    [table] = tables(context)
    assert column(table, "mode") == list(batching.MODES)


def test_overhead(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint)
    overhead.run(context)
    [table] = tables(context)
    for row in table["rows"]:
        assert sum(cell["median"] for cell in row[1:6]) == pytest.approx(100.0, rel=1e-2)


def test_reuse(tmp_path: Path) -> None:
    context = quick_context(tmp_path, None)
    reuse.run(context)
    targets, whole = tables(context)
    assert column(targets, "targets each") == [8] and targets["rows"][0][1] == pytest.approx(9 / 17)
    assert len(whole["rows"]) == 2


def test_quality_confirms_the_best_two(tmp_path: Path, checkpoint: Path) -> None:
    context = quick_context(tmp_path, checkpoint, full=True)
    quality.measure(context, load(checkpoint, "cpu", "float32"), FlatJudge())
    table, confirmed = tables(context)
    assert column(table, "reuse u") == [0, 1] and column(table, "FID-cls") == [5.0, 5.0]
    assert column(confirmed, "steps K") == [3, 4]
