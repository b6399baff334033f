"""The twin that a generator may have beside it: with its own reading of prompts, and its own way to draw."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.decoder import Condition, GenerationRequest
from models.decoding.noise import CounterNoise
from models.layers.linear import pack_linears
from models.magnet.network import MAGNeT
from models.magnet.sample import Turn
from models.magnet.text import TextSource
from models.magnet.twin import Beginning, Manner, Reading, Twin

FLOAT = 4


@dataclass(frozen=True)
class Companion:
    """`manner`: how it begins sounds, but that a request of temperature 0 begins with the likeliest, too."""

    twin: Twin
    text: TextSource
    manner: Manner

    @classmethod
    def of(cls, network: MAGNeT, text: TextSource, manner: Manner, device: str, dtype: torch.dtype) -> "Companion":
        """Takes the network over."""
        network = network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        if device == "cpu" and torch.backends.mkldnn.is_available():
            pack_linears(network)
        return cls(Twin(network, CounterNoise()), text, manner)

    def memory(self, condition: Condition) -> Tensor | None:
        """What its network makes of a prompt."""
        states = self.text.encode(condition)
        return None if states is None else self.twin.memory(states)

    def bytes_for(self, frames: int, words: int, begins: bool) -> int:
        """What a sound of `frames`, which it reads or - with `begins` - begins, holds while that is under way."""
        config, branches = self.twin.network.config, 2
        rows = frames + config.codebooks - 1
        text = 2 * config.depth * words * config.dim
        kept = branches * 2 * config.depth * config.dim * rows if begins else 0
        read = rows * (config.dim * (8 + 2 * config.mlp_ratio) + config.codebook_size) + config.heads * rows * rows
        return int(FLOAT * (text + kept + read))

    def beginning(self, request: GenerationRequest, key: int, frames: int) -> Beginning:
        """Of a sound of which nothing is there; its text is still to come."""
        config = self.twin.network.config
        manner = replace(self.manner, temperature=0.0) if request.sampling.temperature == 0.0 else self.manner
        return Beginning(key, torch.full((config.codebooks, frames), config.mask_id), None, manner)

    def judge(self, turns: Seq[Turn], drawn: Seq[Tensor]) -> list[Tensor]:
        """A `Reader`: the probability of every token of the codebook that each turn makes."""
        readings = [
            Reading(ids, turn.codebook, turn.sample.judged_text) for turn, ids in zip(turns, drawn, strict=True)
        ]
        return self.twin.read(readings)
