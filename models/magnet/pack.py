"""The rows of a batch: branches with a text first, in either part those of the first codebook first.

A branch is a sequence under one condition; a guided sequence has two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.linear import MIN_ROWS
from models.magnet.attention import Band, Full, PackedVisible, Run
from models.magnet.config import MAGNeTConfig


@dataclass(frozen=True)
class Branch:
    """ids [K, T] with the mask id where unknown; wanted [n]: the positions whose logits of `codebook` are asked for.

    text: memory [blocks, 2, N, H, E] of `MAGNeT.memory`, or None.
    """

    ids: Tensor
    codebook: int
    wanted: Tensor
    text: Tensor | None


@dataclass(frozen=True)
class HeadRows:
    """The wanted rows [n] of all branches that make one codebook: `counts` of each of `branches`."""

    codebook: int
    rows: Tensor
    branches: list[int]
    counts: list[int]


@dataclass(frozen=True)
class Packed:
    """R rows, padded to what linear layers need."""

    ids: Tensor  # [R, K]
    position: Tensor  # [R]
    visible: PackedVisible
    heads: list[HeadRows]


def pack(config: MAGNeTConfig, branches: Sequence[Branch], device: torch.device) -> Packed:
    """Lay out the branches, whose ids and wanted positions may lie on the CPU."""

    def run(at: int) -> tuple[bool, bool, int]:
        """What branches side by side must have in common to be one run of attention; no text comes last."""
        branch = branches[at]
        banded = config.banded(branch.codebook)
        return branch.text is None, banded, 0 if banded else branch.ids.shape[1]

    order = sorted(range(len(branches)), key=run)
    lengths = [branches[at].ids.shape[1] for at in order]
    starts = dict(zip(order, [sum(lengths[:n]) for n in range(len(order))], strict=True))
    runs: list[Run] = []
    for (_, banded, length), some in groupby(order, key=run):
        members = [branches[at].ids.shape[1] for at in some]
        runs.append(Band.of(members, config.context, device) if banded else Full(len(members), length))
    texts = [(branches[at].ids.shape[1], text) for at in order if (text := branches[at].text) is not None]
    texted = max(sum(rows for rows, _ in texts), MIN_ROWS) if texts else 0
    ids = torch.cat([branches[at].ids.T for at in order])
    position = torch.cat([torch.arange(length) for length in lengths])
    return Packed(
        ids=_padded(ids).to(device),
        position=_padded(position).to(device),
        visible=PackedVisible(runs, texts, texted),
        heads=[_head(branches, starts, codebook, device) for codebook in sorted({b.codebook for b in branches})],
    )


def _head(branches: Sequence[Branch], starts: dict[int, int], codebook: int, device: torch.device) -> HeadRows:
    mine = [at for at, branch in enumerate(branches) if branch.codebook == codebook]
    rows = torch.cat([branches[at].wanted + starts[at] for at in mine])
    return HeadRows(codebook, rows.to(device), mine, [len(branches[at].wanted) for at in mine])


def _padded(rows: Tensor) -> Tensor:
    """Linear layers want MIN_ROWS rows; what the added ones compute is not read."""
    missing = MIN_ROWS - len(rows)
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing > 0 else rows
