"""Tables of numbers with their spread, stored as they come."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

Cell = Any  # str, int, float, or a dict of one of the functions below


def spread(values: Iterable[float], digits: int = 4) -> dict[str, float]:
    """min, median and max of repeats."""
    found = sorted(values)
    numbers = {"min": found[0], "median": statistics.median(found), "max": found[-1]}
    return {**{k: float(f"{v:.{digits}g}") for k, v in numbers.items()}, "n": len(found)}


def quartiles(values: Iterable[float], digits: int = 4) -> dict[str, float]:
    """Quartiles and median of repeats."""
    found = sorted(values)
    q1, _, q3 = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    numbers = {"q1": q1, "median": statistics.median(found), "q3": q3}
    return {**{k: float(f"{v:.{digits}g}") for k, v in numbers.items()}, "n": len(found)}


def tail(values: Iterable[float], digits: int = 4) -> dict[str, float]:
    """p50, p90 and max of a distribution, by nearest rank."""
    found = list(values)
    numbers = {"p50": percentile(found, 0.5), "p90": percentile(found, 0.9), "max": max(found)}
    return {**{k: float(f"{v:.{digits}g}") for k, v in numbers.items()}, "n": len(found)}


def percentile(values: Iterable[float], share: float) -> float:
    """Nearest rank."""
    found = sorted(values)
    return found[max(0, ceil(share * len(found)) - 1)]


@dataclass
class Table:
    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""


@dataclass
class Store:
    """docs/bench.json: written anew whenever a table is complete, other benches' entries kept."""

    path: Path
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "Store":
        return cls(path, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})

    def begin(self, bench: str, title: str, facts: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self.content[bench] = {"title": title, "date": stamp, **facts, "tables": []}

    def add(self, bench: str, table: Table) -> None:
        self.content[bench]["tables"].append(asdict(table))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
