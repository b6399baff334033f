"""MAGNeT once more, one sequence at a time, over official names, without anything skipped: slow and plain."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding

NEVER = -1e4


@dataclass
class Naive:
    config: MAGNeTConfig
    weights: Mapping[str, Tensor]  # official names

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-5)

    def attend(self, name: str, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """x [T, D] to source [N, D], where mask [T, N] is 0 or -inf."""
        q, k, v = self.weights[f"{name}.in_proj_weight"].chunk(3)
        q, k, v = (
            F.linear(rows, weight).unflatten(1, (self.config.heads, -1)).transpose(0, 1)
            for rows, weight in ((x, q), (source, k), (source, v))
        )
        weights = (q @ k.mT / math.sqrt(q.shape[-1]) + mask).softmax(dim=-1)
        return F.linear((weights @ v).transpose(0, 1).flatten(1), self.weights[f"{name}.out_proj.weight"])

    def forward(self, ids: Tensor, codebook: int, text: Tensor | None) -> Tensor:
        """ids [K, T], states of T5 [N, C] or None -> logits of one codebook [T, codebook_size]."""
        length, half = ids.shape[1], self.config.dim // 2
        name = "condition_provider.conditioners.description.output_proj"
        if text is None:
            source = torch.zeros(5, self.config.dim)  # the null text, however long
        else:
            source = F.linear(text, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
        angles = [[t / 10000 ** (i / (half - 1)) for i in range(half)] for t in range(length)]
        x = torch.tensor([[math.cos(a) for a in row] + [math.sin(a) for a in row] for row in angles])
        for k, row in enumerate(ids):
            x = x + self.weights[f"emb.{k}.weight"][row]
        near = torch.zeros(length, length)
        if codebook > 0 and self.config.context >= 0:
            for i in range(length):
                for j in range(length):
                    near[i, j] = 0.0 if abs(i - j) <= self.config.context else -torch.inf
        for at in range(self.config.depth):
            here = f"transformer.layers.{at}"
            y = self.norm(f"{here}.norm1", x)
            x = x + self.attend(f"{here}.self_attn", y, y, near)
            y = self.norm(f"{here}.norm_cross", x)
            x = x + self.attend(f"{here}.cross_attention", y, source, torch.zeros(length, len(source)))
            hidden = F.gelu(F.linear(self.norm(f"{here}.norm2", x), self.weights[f"{here}.linear1.weight"]))
            x = x + F.linear(hidden, self.weights[f"{here}.linear2.weight"])
        return F.linear(self.norm("out_norm", x), self.weights[f"linears.{codebook}.weight"])


def share_of(step: int, steps: int) -> float:
    return float(torch.cos(torch.linspace(0, 1, steps)[step] * math.pi * 0.5))


def masked(
    decoding: Decoding, span: int, known: list[bool], scores: list[float] | None, step: int, steps: int
) -> set[int]:
    """The positions that a step masks, given ones not taken out; `scores` are those of the step before it."""
    length = len(known)
    chunked = decoding.arrangement == "nonoverlap" and span > 1
    whole = [all(known[at : at + span]) for at in range(0, length, span)] if chunked else list(known)
    if scores is None:
        scores = [NEVER if given else 0.0 for given in whole]
    units = whole.count(False)
    share = torch.cos(torch.linspace(0, 1, steps)[step] * math.pi * 0.5)
    count = max(int((share * units).item()), 1)
    if chunked:
        return {at * span + n for at in best(scores)[:count] for n in range(span)}
    if span == 1:
        return set(best(scores)[:count])
    return united(scores, span, max(count, span))


def united(scores: list[float], span: int, count: int) -> set[int]:
    sums = []
    for at in range(len(scores) - span + 1):
        total = np.float32(scores[at])
        for n in range(1, span):
            total = total + np.float32(scores[at + n])
        sums.append(float(total))
    order = best(sums)

    def union(windows: int) -> set[int]:
        return {at + n for at in order[:windows] for n in range(span)}

    low, high = count // span, count - span + 1
    middle = round((low + high) / 2)
    if middle in (low, high):
        return union(middle)
    found: set[int] = set()
    while low < middle < high:
        found = union(middle)
        if len(found) > count:
            high = middle
        else:
            low = middle
        middle = round((low + high) / 2)
    return found


def best(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda at: (-scores[at], at))


def shares(decoding: Decoding, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """What tokens [C] are drawn with, and what they are scored with."""
    whole = torch.softmax(logits.double() / temperature, dim=0)
    if decoding.greedy:
        return F.one_hot(logits.argmax(), len(logits)).double(), whole
    cut = whole.clone()
    if decoding.top_k:
        cut[best(cut.tolist())[decoding.top_k :]] = 0.0
        cut = cut / cut.sum()
    if decoding.top_p == 1.0:
        return cut, cut
    before = 0.0
    kept = cut.clone()
    for at in best(cut.tolist()):
        kept[at] = cut[at] if before <= decoding.top_p else 0.0
        before += float(cut[at])
    return kept / kept.sum(), whole


def scored(decoding: Decoding, span: int, probability: list[float], asked: set[int]) -> list[float]:
    length = len(probability)
    if decoding.arrangement == "stride1" or span == 1:
        return [-math.log(probability[at]) if at in asked else NEVER for at in range(length)]
    scores = []
    for start in range(0, length, span):
        chunk = range(start, start + span)
        if start not in asked:
            scores.append(NEVER)
        elif decoding.scoring == "max":
            scores.append(1.0 - max(probability[at] for at in chunk))
        else:
            scores.append(sum(-math.log(probability[at]) for at in chunk))
    return scores
