"""On what a measurement ran, and whether the machine was idle enough for it."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch

BUSY_PERCENT = 10.0  # of all cores, over a second
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Load:
    """cpu_percent: of all cores, before the measurement began; busiest: the programs that used most of it."""

    cpu_percent: float
    load_average: float
    busiest: list[str]

    @property
    def busy(self) -> bool:
        return self.cpu_percent > BUSY_PERCENT


def look() -> Load:
    """Watch the machine for a second."""
    others = [p for p in psutil.process_iter(["name"]) if p.pid != os.getpid()]
    for process in others:
        _used(process)
    total = psutil.cpu_percent(interval=LOOK_SECONDS)
    used = sorted(((_used(p), p.info["name"]) for p in others), reverse=True)[:3]
    return Load(total, os.getloadavg()[0], [f"{name} {percent:.0f} %" for percent, name in used if percent >= 1.0])


def _used(process: psutil.Process) -> float:
    """Percent of one core since the last call; 0 for a process that is gone."""
    try:
        return float(process.cpu_percent())
    except psutil.Error:
        return 0.0


def describe(device: str) -> dict[str, Any]:
    """Hardware and versions."""
    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device,
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda
    return facts


def load_facts(load: Load) -> dict[str, Any]:
    return asdict(load)


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
