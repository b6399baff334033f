"""Presets have the published sizes; what no network could be is refused by name."""

import json

import pytest
import torch

from models.architecture import architecture_dict
from models.mcvd.config import MCVDConfig
from models.mcvd.keys import official_names
from models.mcvd.network import MCVD
from models.mcvd.norms import Spade, groups_of
from tests.models.mcvd.build import FIXTURES

LEVELS = {"betas", "alphas", "alphas_prev", "unet.sigmas"}
MANIFESTS = {
    "smmnist": "smmnist_5c5_concat",
    "smmnist-spade": "smmnist_5c5_spade",
    "kth": "kth64_5c10_concat",
    "bair": "bair64_5c2_concat",
}


def build(preset: str) -> MCVD:
    with torch.device("meta"):
        return MCVD(MCVDConfig.preset(preset))


@pytest.mark.parametrize(
    ("preset", "parameters", "spades"),
    [
        ("smmnist", 27.9, 0),
        ("smmnist-spade", 54.0, 57),
        ("kth", 62.8, 0),
        ("kth-spade", 367.7, 57),
        ("bair", 251.2, 0),
        ("bair-spade", 328.6, 57),
        ("cityscapes", 262.1, 0),
        ("cityscapes-spade", 579.2, 71),
        ("ucf101", 565.0, 0),
        ("ucf101-spade", 739.4, 57),
    ],
)
def test_published_sizes(preset: str, parameters: float, spades: int) -> None:
    network = build(preset)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == parameters
    assert sum(isinstance(module, Spade) for module in network.modules()) == spades


@pytest.mark.parametrize("preset", MANIFESTS)
def test_published_names_and_shapes(preset: str) -> None:
    """Sides of 1 aside: maps of attention are 1x1 kernels here."""
    manifest = json.loads((FIXTURES / f"manifest_{MANIFESTS[preset]}.json").read_text())
    network, official = build(preset), official_names(MCVDConfig.preset(preset))
    ours = {official(key): [side for side in value.shape if side != 1] for key, value in network.state_dict().items()}
    theirs = {key: [side for side in shape if side != 1] for key, shape in manifest["keys"].items()}
    assert {key: shape for key, shape in theirs.items() if key not in LEVELS} == ours
    assert theirs.keys() - ours.keys() == LEVELS
    assert sum(p.numel() for p in network.parameters()) == manifest["num_params"]


def test_the_last_norm_and_the_layers_around_it() -> None:
    official = official_names(MCVDConfig.preset("smmnist"))
    assert official("norm.plain.weight") == "unet.all_modules.41.Norm_0.weight"
    assert official("leave.bias") == "unet.all_modules.42.bias"
    assert official("middle.0.attention.out.weight") == "unet.all_modules.21.NIN_3.W"
    with_past = MCVDConfig(past_embedding=True)
    assert official_names(with_past)("past.weight") == "unet.all_modules.2.weight"
    assert official_names(with_past)("enter.weight") == "unet.all_modules.3.weight"


def test_groups_divide_the_channels() -> None:
    assert [groups_of(channels) for channels in (4, 6, 12, 18, 30, 64, 96, 128, 480, 960)] == [
        1, 1, 3, 3, 6, 16, 24, 32, 32, 32,
    ]  # fmt: skip


def test_there_and_back() -> None:
    config = MCVDConfig.preset("tiny")
    assert MCVDConfig.from_dict(architecture_dict(config)) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"resolution": 15}, "resolution 15 is no multiple of 2, as 2 levels need"),
        ({"multipliers": []}, "multipliers names no level"),
        ({"head_channels": 5}, "16 channels are no multiple of head_channels 5"),
        ({"attention": [], "head_channels": 12}, "16 channels are no multiple of head_channels 12"),
        ({"head_channels": 0}, "head_channels 0 is neither positive nor -1"),
        ({"width": 3}, r"architecture\.width"),
        ({"future": -1}, r"architecture\.future"),
        ({"mask_past": 1.5}, r"architecture\.mask_past"),
        ({"betas": "cubic"}, r"architecture\.betas"),
        ({"widht": 3}, r"architecture\.widht: unknown field"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MCVDConfig.from_dict(architecture_dict(MCVDConfig.preset("tiny")) | change)


def test_heads() -> None:
    config = MCVDConfig.from_dict(architecture_dict(MCVDConfig.preset("tiny")) | {"head_channels": -1})
    assert [config.heads(width) for width in (8, 16)] == [1, 1]
    assert [MCVDConfig.preset("tiny").heads(width) for width in (4, 8, 16)] == [1, 1, 2]
