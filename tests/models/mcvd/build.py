"""The recorded fixtures of the MCVD family, and random-weight networks of other sizes."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from models.mcvd.config import MCVDConfig
from models.mcvd.importer import read_mcvd
from models.mcvd.network import MCVD

FIXTURES = Path(__file__).parents[2] / "parity" / "mcvd"
NAMES = ("concat", "spade")


def described(name: str) -> dict[str, Any]:
    """Settings and trajectories of a recorded network."""
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def recorded(name: str, group: str) -> dict[str, Tensor]:
    """The tensors of one group, without its prefix."""
    found = load_file(FIXTURES / f"{name}.io.safetensors")
    return {key.split(".", 1)[1]: value for key, value in found.items() if key.split(".")[0] == group}


def schedules() -> dict[str, Tensor]:
    return load_file(FIXTURES / "schedules.safetensors")


def official_network(name: str, place: Path) -> MCVD:
    """A recorded network, by way of an official file; its settings lie in the folder `place`."""
    settings = place / "config.yml"
    settings.write_text(yaml.safe_dump(described(name)["config"]))
    config, state = read_mcvd(FIXTURES / f"{name}.weights.safetensors", settings)
    network = MCVD(config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def random_network(config: MCVDConfig, seed: int = 0) -> MCVD:
    """Weights large enough that everything matters, layers that begin as nothing included."""
    torch.manual_seed(seed)
    network = MCVD(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 100.0
        parameter.copy_(torch.randn_like(parameter) * fan**-0.5 + (0.0 if parameter.ndim > 1 else 0.1))
    return network
