"""Replays the recorded generations through the decoder."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoder import GenerationRequest
from models.decoding.noise import sequence_key
from models.mar.decoder import MARDecoder
from models.mar.network import MAR
from models.mar.patches import unpatchify
from models.mar.sequence import MARSequence
from models.spec import Sampling
from tests.models.mar.build import CHAIN, RECORDED, decoder_of, recorded

GROUPS = ("sample_cfg", "sample_nocfg", "recap_buffer_cached", "recap_buffer_recomputed")


@dataclass
class RecordedNoise:
    """noise [B, L, 1 + S, C]; the row of a sequence is its seed."""

    noise: Tensor

    def normal(self, key: Tensor, position: Tensor, step: Tensor, channels: int) -> Tensor:
        rows = {sequence_key(row, 0): row for row in range(len(self.noise))}
        return self.noise[[rows[k] for k in key.tolist()], position, step]


def load(group: str) -> dict[str, Tensor]:
    return recorded(group)


def recorded_decoder(network: MAR, noise: Tensor, orders: Tensor) -> MARDecoder:
    """Published orders are masked from the front, so they are revealed from the end."""
    rows = {sequence_key(row, 0): row for row in range(len(orders))}
    return decoder_of(network, RecordedNoise(noise), lambda key, length: orders[rows[key]].flip(0))


def requests_of(group: str, labels: list[int]) -> list[GenerationRequest]:
    """The rows of a recorded batch; a group's settings are those of config.json."""
    reuse = group.startswith("recap")
    settings = RECORDED["recap" if reuse else "sample"]
    sampling = Sampling(
        num_inference_steps=settings["num_iter"],
        guidance_scale=1.0 if group == "sample_nocfg" else settings["cfg"],
        guidance_schedule=settings["cfg_schedule"],
        temperature=settings["temperature"],
        reuse=settings["num_cache_iters"] if reuse else 0,
        full_first=settings["pre_full_iters"] if reuse else 0,
        reuse_buffer=group == "recap_buffer_cached",
        diffusion_steps=CHAIN,
    )
    return [GenerationRequest("generate", label, sampling, seed) for seed, label in enumerate(labels)]


def admitted(decoder: MARDecoder, group: str, io: dict[str, Tensor]) -> list[MARSequence]:
    """In the plan and with the guidance that were recorded."""
    seqs: list[MARSequence] = []
    for request in requests_of(group, io["labels"].tolist()):
        [seq] = decoder.admit(request)
        assert isinstance(seq, MARSequence)
        assert list(seq.plan.reveals) == io["call_n"].tolist()
        torch.testing.assert_close(torch.tensor(seq.scales), io["call_cfg"])
        seqs.append(seq)
    return seqs


def check(network: MAR, seqs: list[MARSequence], wanted: Tensor) -> float:
    """Within the fixture's tolerance; the largest difference relative to the largest number."""
    made = unpatchify(torch.stack([seq.tokens for seq in seqs]), network.config.patch, network.config.grid)
    worst = float((made - wanted).abs().max() / wanted.abs().max())
    assert worst <= 1e-3
    return worst
