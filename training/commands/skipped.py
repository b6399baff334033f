"""Files of a folder that are left out, told by name."""

from collections.abc import Mapping

from rich.console import Console

NAMED = 10


def tell_skipped(console: Console, skipped: Mapping[str, str]) -> None:
    """skipped: file -> why."""
    for name, why in list(skipped.items())[:NAMED]:
        console.print(f"left out: {name}: {why}", soft_wrap=True, markup=False, highlight=False)
    if len(skipped) > NAMED:
        console.print(f"left out: {len(skipped) - NAMED} more")
