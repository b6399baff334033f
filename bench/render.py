"""docs/bench.md from docs/bench.json."""

import json
from pathlib import Path
from typing import Any

HEAD = """# Measurements

Written by `make bench DEVICE=cpu|cuda` from `{source}`; every table says where and when it was measured. Ratios
compare runs of one session, repeated in turn (A B A B). Cells read `median (min-max)` over the repeats. Absolute times
belong to the machine named; another bench may have run on another one.
"""


def render(source: Path, target: Path) -> None:
    """Write the page."""
    content = json.loads(source.read_text(encoding="utf-8"))
    parts = [HEAD.format(source=source.as_posix()), *(_bench(entry) for entry in content.values())]
    target.write_text("\n".join(parts), encoding="utf-8")


def cell(value: Any) -> str:
    """A number with at most four digits, a spread as `median (low-high)`, a tail as `p50 / p90 / max`."""
    match value:
        case {"p50": half, "p90": most, "max": last}:
            return " / ".join(map(_number, (half, most, last)))
        case {"n": 1, "median": only}:
            return _number(only)
        case {"median": median, "min": low, "max": high} | {"median": median, "q1": low, "q3": high}:
            return f"{_number(median)} ({_number(low)}-{_number(high)})"
        case float():
            return _number(value)
    return str(value)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"


def _bench(entry: dict[str, Any]) -> str:
    machine, load = entry["machine"], entry["load"]
    where = f"{machine['cpu']}, {machine['cores']} cores ({machine['cpu_capability']}), {machine['memory_gib']} GiB"
    if "gpu" in machine:
        where += f"; {machine['gpu']}, CUDA {machine['cuda']}"
    lines = [
        f"## {entry['title']}\n",
        f"{entry['date']}; {where}; torch {machine['torch']}, {machine['threads']} threads, {machine['dtype']} on "
        f"{machine['device']}; machine {load['cpu_percent']:.0f} % busy before the start; weights: {entry['weights']}"
        + ("; **quick run: shows that it works, not how fast**" if entry["quick"] else "")
        + ("; **the machine was busy**" if entry["forced"] else "")
        + ".\n",
    ]
    return "\n".join(lines + [_table(table) for table in entry["tables"]])


def _table(table: dict[str, Any]) -> str:
    rows = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    body = "\n".join("| " + " | ".join(cell(value) for value in row) + " |" for row in rows)
    note = f"\n{table['note']}\n" if table["note"] else ""
    return f"### {table['title']}\n\n{body}\n{note}"
