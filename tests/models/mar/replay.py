"""Replays the recorded generations through the reference sampler."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.mar.network import MAR
from models.mar.official import Sample, Sampler
from models.mar.patches import unpatchify
from models.mar.schedule import guidance_scales, plan
from tests.models.mar.build import CHAIN, RECORDED, recorded

GROUPS = ("sample_cfg", "sample_nocfg", "recap_buffer_cached", "recap_buffer_recomputed")


@dataclass
class RecordedNoise:
    """noise [B, L, 1 + S, C]; the key of a row is its place in the batch."""

    noise: Tensor

    def normal(self, key: Tensor, position: Tensor, step: Tensor, channels: int) -> Tensor:
        return self.noise[key, position, step]


def sampler_of(network: MAR, group: str, io: dict[str, Tensor]) -> Sampler:
    return Sampler(network, CHAIN, RecordedNoise(io["noise"]), buffer_kept=group == "recap_buffer_cached")


def samples_of(network: MAR, group: str, io: dict[str, Tensor]) -> list[Sample]:
    """The rows of a recorded batch; a group's settings are those of config.json."""
    reuse = group.startswith("recap")
    settings = RECORDED["recap" if reuse else "sample"]
    length = network.config.length
    steps = plan(
        length,
        settings["num_iter"],
        settings["pre_full_iters"] if reuse else None,
        settings["num_cache_iters"] if reuse else 1,
    )
    scale = 1.0 if group == "sample_nocfg" else settings["cfg"]
    scales = guidance_scales(list(steps.reveals), length, scale, settings["cfg_schedule"], last=0 if reuse else 1)
    torch.testing.assert_close(torch.tensor(scales), io["call_cfg"])
    assert list(steps.reveals) == io["call_n"].tolist()
    first = Sample(
        key=0,
        label=0,
        order=io["orders"][0],
        plan=steps,
        scales=scales,
        temperature=settings["temperature"],
        tokens=torch.empty(0),
    )
    return [
        replace(
            first,
            key=row,
            label=int(io["labels"][row]),
            order=io["orders"][row].flip(0),  # published orders are masked from the front
            tokens=torch.zeros(length, network.config.token_channels),
        )
        for row in range(len(io["labels"]))
    ]


def latents(network: MAR, samples: list[Sample]) -> Tensor:
    return unpatchify(torch.stack([s.tokens for s in samples]), network.config.patch, network.config.grid)


def check(network: MAR, samples: list[Sample], io: dict[str, Tensor]) -> float:
    """Within the fixture's tolerance; the largest difference relative to the largest number."""
    wanted = io["out_latents"][[sample.key for sample in samples]]
    worst = float((latents(network, samples) - wanted).abs().max() / io["out_latents"].abs().max())
    assert worst <= 1e-3
    return worst


def load(group: str) -> dict[str, Tensor]:
    return recorded(group)
