"""Presets have the published sizes; what no network could be is refused by name."""

import pytest
import torch

from models.architecture import architecture_dict
from models.mar.config import MARConfig
from models.mar.network import MAR


@pytest.mark.parametrize(
    ("name", "parameters", "head", "tensors"),
    [("b", 207.92, 35.75, 364), ("l", 478.33, 72.23, 476), ("h", 942.40, 151.21, 604)],
)
def test_published_sizes(name: str, parameters: float, head: float, tensors: int) -> None:
    with torch.device("meta"):
        network = MAR(MARConfig.preset(name))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == parameters
    assert round(sum(p.numel() for p in network.head.parameters()) / 1e6, 2) == head
    assert len(network.state_dict()) == tensors


def test_there_and_back() -> None:
    config = MARConfig.preset("tiny")
    assert MARConfig.from_dict(architecture_dict(config)) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"encoder_heads": 5}, "encoder_dim 32 is no multiple of encoder_heads 5"),
        ({"decoder_heads": 3}, "decoder_dim 32 is no multiple of decoder_heads 3"),
        ({"diffusion_steps": 1}, "diffusion_steps 1 is outside 2 to train_steps 1000"),
        ({"buffer": 0}, r"architecture\.buffer"),
        ({"grid": [4]}, r"architecture\.grid"),
        ({"widht": 3}, r"architecture\.widht: unknown field"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MARConfig.from_dict(architecture_dict(MARConfig.preset("tiny")) | change)
