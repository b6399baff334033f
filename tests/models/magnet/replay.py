"""Replays the recorded generations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from models.decoding.noise import Purpose, Rows, sequence_key
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.magnet.sample import Sample
from tests.models.magnet.build import RUNS, recorded


def text_rows(network: MAGNeT) -> list[Tensor | None]:
    """Of every recorded row, with the pads that the published code attends to; None where all is pad."""
    io = recorded("lm", "cond.")
    rows = network.condition(io["t5_last_hidden_state"].flatten(0, 1)).view_as(io["embeds"])
    mask = io["attention_mask"]
    return [row if seen.any() else None for row, seen in zip(rows * mask.unsqueeze(-1), mask, strict=True)]


@dataclass
class RecordedNoise:
    """Exponential draws q [S, B, T, C] of runs; a sequence's key names its run and row.

    A run with top-p has them by the rank of a token, others by its id.
    """

    runs: Mapping[int, tuple[Tensor, int, bool]]  # key -> q, row, by rank

    @classmethod
    def of(cls, names: Iterable[str]) -> "RecordedNoise":
        runs: dict[int, tuple[Tensor, int, bool]] = {}
        for name in names:
            io = recorded("lm", f"gen.{name}.")
            noise = io.get("exp_noise")
            if noise is not None:
                runs |= {key_of(name, row): (noise, row, by_rank(RUNS[name])) for row in range(noise.shape[1])}
        return cls(runs)

    def categorical(self, logits: Tensor, rows: Rows, purpose: Purpose) -> Tensor:
        drawn = torch.zeros(len(logits), dtype=torch.long)
        for at, (values, key, step, position) in enumerate(
            zip(logits, rows.key.tolist(), rows.step.tolist(), rows.position.tolist(), strict=True)
        ):
            if key not in self.runs:  # greedy
                continue
            noise, row, ranked = self.runs[key]
            q = noise[step, row, position % noise.shape[2]]
            order = values.argsort(descending=True, stable=True) if ranked else torch.arange(len(values))
            drawn[at] = order[(values.softmax(dim=0)[order] / q).argmax()]
        return drawn

    def gumbel(self, rows: Rows) -> Tensor:
        raise NotImplementedError


def by_rank(run: Mapping[str, Any]) -> bool:
    return bool(run["top_p"] > 0)


def key_of(name: str, row: int) -> int:
    return sequence_key(list(RUNS).index(name), row)


def decoding_of(run: Mapping[str, Any]) -> Decoding:
    return Decoding(
        steps=tuple(run["decoding_steps"]),
        temperature=run["temp"],
        anneal=run["anneal_temp"],
        top_k=run["top_k"],
        top_p=run["top_p"] or 1.0,
        guidance=(run["max_cfg_coef"], run["min_cfg_coef"]),
        arrangement=run["span_arrangement"],
        scoring=run["span_scoring"],
        greedy=not run["use_sampling"],
    )


def samples_of(network: MAGNeT, name: str) -> list[Sample]:
    """The recorded batch at its start."""
    io, run = recorded("lm", f"gen.{name}."), RUNS[name]
    prompt = io.get("prompt")
    texts = text_rows(network)
    return [
        Sample.begin(
            replace(network.config, span=run["span_len"]),
            decoding_of(run),
            key_of(name, row),
            None if (text := texts[row]) is None else network.memory(text),
            None if prompt is None else prompt[row].long(),
        )
        for row in range(len(io["tokens"]))
    ]
