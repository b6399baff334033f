"""The published names of the network's tensors: a flat list of modules, numbered in the order in which they run."""

from collections.abc import Callable

import torch
from torch import nn

from models.keys import Rules, renamed
from models.mcvd.blocks import Attention, ResidualBlock
from models.mcvd.config import MCVDConfig
from models.mcvd.network import MCVD
from models.mcvd.norms import LastNorm

PREFIX = "unet.all_modules."
NUMBERED = (ResidualBlock, Attention, LastNorm)
WITHIN: Rules = (
    (r"\.norm([12])\.modulation\.", r".actnorm\1.Dense_0."),
    (r"\.norm([12])\.spade\.", r".actnorm\1.Norm_0."),
    (r"\.actnorm1\.", ".actnorm0."),
    (r"\.actnorm2\.", ".actnorm1."),
    (r"\.conv1\.", ".Conv_0."),
    (r"\.conv2\.", ".Conv_1."),
    (r"\.skip\.", ".Conv_2."),
    (r"\.(plain|spade)\.", ".Norm_0."),
    (r"\.shared\.", ".mlp_shared.0."),
    (r"\.gamma\.", ".mlp_gamma."),
    (r"\.beta\.", ".mlp_beta."),
    (r"\.norm\.", ".GroupNorm_0."),
    (r"\.query\.weight$", ".NIN_0.W"),
    (r"\.query\.bias$", ".NIN_0.b"),
    (r"\.key\.weight$", ".NIN_1.W"),
    (r"\.key\.bias$", ".NIN_1.b"),
    (r"\.value\.weight$", ".NIN_2.W"),
    (r"\.value\.bias$", ".NIN_2.b"),
    (r"\.out\.weight$", ".NIN_3.W"),
    (r"\.out\.bias$", ".NIN_3.b"),
)


def official_names(config: MCVDConfig) -> Callable[[str], str]:
    """From a tensor's name in `MCVD(config)` to the published one, without the prefix of a data-parallel module."""
    with torch.device("meta"):
        network = MCVD(config)
    numbers = {name: number for number, name in enumerate(numbered(network))}

    def official(key: str) -> str:
        module = next(name for name in numbers if key.startswith(f"{name}."))
        return renamed(f"{PREFIX}{numbers[module]}{key[len(module) :]}", WITHIN)

    return official


def numbered(module: nn.Module, path: str = "") -> list[str]:
    """Names of the modules that have numbers: blocks, attentions, the last norm, and layers outside of these."""
    names = []
    for name, child in module.named_children():
        inner = numbered(child, f"{path}{name}.")
        names += [f"{path}{name}"] if isinstance(child, NUMBERED) or not inner else inner
    return names
