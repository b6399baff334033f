"""Tables of numbers with their spread, stored as they come."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

Cell = Any  # str, int, float or a Spread as a dict


def spread(values: Iterable[float], digits: int = 4) -> dict[str, float]:
    """min, median and max of repeats."""
    found = sorted(values)
    numbers = {"min": found[0], "median": statistics.median(found), "max": found[-1]}
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
