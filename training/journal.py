"""Curves of a run: `metrics.jsonl` (one line per entry) and TensorBoard scalars."""

import json
import os
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

FILE = "metrics.jsonl"


class Journal:
    """Appends entries; on resume those after `step` are dropped, so that every step appears once."""

    def __init__(self, directory: Path, step: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE
        kept = [entry for entry in read_journal(directory) if entry["step"] <= step]
        new = self.path.with_suffix(".new")
        new.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
        os.replace(new, self.path)
        self.board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        entry = {"step": step, "time": round(time.time(), 1)}
        with self.path.open("a") as file:
            file.write(json.dumps(entry | {k: round(v, 6) for k, v in scalars.items()}) + "\n")
        for name, value in scalars.items():
            self.board.add_scalar(name, value, step)

    def close(self) -> None:
        self.board.close()


def read_journal(directory: Path) -> list[dict[str, float]]:
    """All entries of a run directory, oldest first; empty before the first one."""
    path = directory / FILE
    entries = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:  # cut off by a crash or a full disk
            continue
    return entries
