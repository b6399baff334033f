"""The recorded fixtures of the MAGNeT family as official files, and random-weight networks of other sizes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from models.layers.linear import pack_linears
from models.magnet.config import MAGNeTConfig
from models.magnet.importer import CODEC, WEIGHTS, read_magnet
from models.magnet.network import MAGNeT

FIXTURES = Path(__file__).parents[2] / "parity" / "magnet"
RECORDED = json.loads((FIXTURES / "config.json").read_text())
LM: Mapping[str, Any] = RECORDED["lm"]
RUNS: Mapping[str, Mapping[str, Any]] = LM["runs"]
RATE: int = RECORDED["codec"]["measured"]["frame_rate"]  # of the recorded codec; the generator was made for another


def recorded(file: str, group: str = "") -> dict[str, Tensor]:
    """The tensors of one file, or of one group of it without its prefix."""
    found = load_file(FIXTURES / f"{file}.io.safetensors")
    return {key.removeprefix(group): value for key, value in found.items() if key.startswith(group)}


def official_state(part: str) -> dict[str, Tensor]:
    """Official weights of the generator ("lm") or of its codec ("codec")."""
    return load_file(FIXTURES / f"{part}.weights.safetensors")


def lm_settings(**generate: Any) -> dict[str, Any]:
    """What audiocraft stores beside the generator; a reference is left in it."""
    names = ("dim", "num_heads", "num_layers", "hidden_scale", "n_q", "card", "subcodes_context")
    return {
        "sample_rate": RECORDED["codec"]["sample_rate"],
        "channels": 1,
        "transformer_lm": {name: LM[name] for name in names} | {"positional_embedding": "sin", "activation": "gelu"},
        "dataset": {"segment_duration": "${segment}"},
        "segment": (LM["seq_len"] + 0.5) / RATE,
        "masking": {"span_len": LM["span_len"]},
        "conditioners": {"description": {"model": "t5", "t5": {"name": "t5-tiny", "word_dropout": 0.3}}},
        "generate": {"lm": generate},
    }


def codec_settings() -> dict[str, Any]:
    codec = RECORDED["codec"]
    names = ("n_filters", "n_residual_layers", "ratios", "lstm", "kernel_size", "last_kernel_size", "pad_mode")
    more = ("residual_kernel_size", "dilation_base", "true_skip", "compress", "dimension", "norm")
    return {
        "sample_rate": codec["sample_rate"],
        "channels": codec["channels"],
        "seanet": {name: codec[name] for name in (*names, *more)} | {"causal": "${encodec.causal}"},
        "rvq": {name: codec[name] for name in ("n_q", "bins")},
        "encodec": {name: codec[name] for name in ("causal", "renormalize")},
    }


def write_export(path: Path, state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Path:
    """An official file."""
    content = {"best_state": dict(state), "xp.cfg": yaml.safe_dump(dict(settings)), "version": "1", "exported": True}
    torch.save(content, path)
    return path


def write_bundle(place: Path, **generate: Any) -> Path:
    """The folder of an official model."""
    place.mkdir(exist_ok=True)
    write_export(place / WEIGHTS, official_state("lm"), lm_settings(**generate))
    write_export(place / CODEC, official_state("codec"), codec_settings())
    return place


def official_network(place: Path, packed: bool = True) -> MAGNeT:
    """The recorded network, by way of an official file in the folder `place`."""
    source = write_export(place / WEIGHTS, official_state("lm"), lm_settings())
    config, _, found = read_magnet(source, RATE)
    network = MAGNeT(config).eval().requires_grad_(False)
    network.load_state_dict(found.state)
    if packed and torch.backends.mkldnn.is_available():
        pack_linears(network)
    return network


def random_network(config: MAGNeTConfig, seed: int = 0, packed: bool = True) -> MAGNeT:
    """Weights large enough that everything matters, norms included."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MAGNeT(config).eval().requires_grad_(False)
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (2.0 / parameter.shape[-1]) ** 0.5)
    if packed and torch.backends.mkldnn.is_available():
        pack_linears(network)
    return network
