"""The bench's bookkeeping: spreads, percentiles, and a page that says how it was measured."""

from pathlib import Path

from bench.render import cell, render
from bench.results import Store, Table, percentile, quartiles, spread, tail
from tests.bench.contexts import FACTS


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50.0 and percentile(values, 0.95) == 95.0
    assert percentile([7.0], 0.95) == 7.0


def test_a_spread_reads_as_median_and_range() -> None:
    assert cell(spread([3.0, 1.0, 2.0])) == "2 (1-3)"
    assert cell(spread([1.234444])) == "1.23"
    assert cell(1234.6) == "1235" and cell("x") == "x"


def test_quartiles_and_tails_read_as_what_they_are() -> None:
    values = [float(n) for n in range(1, 6)]
    assert cell(quartiles(values)) == "3 (2-4)" and cell(quartiles([7.0])) == "7"
    assert cell(tail(values)) == "3 / 5 / 5"


def test_a_new_run_replaces_its_own_tables_only(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    for title in ("old", "new"):
        store = Store.open(path)
        for bench in ("one", "two") if title == "old" else ("one",):
            store.begin(bench, bench, FACTS)
            store.add(bench, Table(title, ["a"], [[1.0]]))
    kept = Store.open(path).content
    assert [kept[b]["tables"][0]["title"] for b in ("one", "two")] == ["new", "old"]


def test_the_page_says_on_what_and_how_busy(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "bench.json")
    store.begin("one", "A bench", {**FACTS, "forced": True})
    store.add("one", Table("Numbers", ["mode", "s"], [["fast", spread([1.0, 2.0, 4.0])]], note="A note."))
    render(store.path, tmp_path / "bench.md")
    page = (tmp_path / "bench.md").read_text()
    for words in ("CPU X, 2 cores", "3 % busy", "the machine was busy", "| fast | 2 (1-4) |", "A note."):
        assert words in page
