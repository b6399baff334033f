"""The rows of a batch: branches with a text first, in either part those of the first codebook first.

A branch is a sequence under one condition; a guided sequence has two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.linear import MIN_ROWS
from models.magnet.attention import Band, Full, PackedVisible, Run
from models.magnet.config import MAGNeTConfig
from models.magnet.kept import Kept, Newest, Reading, Writing


@dataclass(frozen=True)
class Branch:
    """ids [K, T] with the mask id where unknown; wanted [n]: the positions whose logits of `codebook` are asked for.

    text: memory [blocks, 2, N, H, E] of `MAGNeT.memory`, or None. kept: what takes the keys and values of the rows that
    are evaluated. rows [m]: these are, in ascending order, `wanted` among them (None: all). causal: rows see themselves
    and those before them, one of them at a time where `rows` says which.
    """

    ids: Tensor
    codebook: int
    wanted: Tensor
    text: Tensor | None
    kept: Kept | None = None
    rows: Tensor | None = None
    causal: bool = False

    @property
    def count(self) -> int:
        """Rows that are evaluated."""
        return self.ids.shape[1] if self.rows is None else len(self.rows)

    @property
    def places(self) -> Tensor:
        """Where in its sequence each row lies, [count]."""
        return torch.arange(self.ids.shape[1]) if self.rows is None else self.rows


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

    def run(at: int) -> tuple[bool, bool, bool, bool, int]:
        """What branches side by side must have in common to be one run of attention; no text comes last."""
        branch = branches[at]
        banded = config.banded(branch.codebook) and not branch.causal
        partial = branch.rows is not None
        return branch.text is None, partial, branch.causal, banded, at if partial else 0 if banded else branch.count

    order = sorted(range(len(branches)), key=run)
    counts = [branches[at].count for at in order]
    starts = dict(zip(order, accumulate(counts, initial=0), strict=False))
    runs: list[Run] = []
    for (_, partial, causal, banded, last), some in groupby(order, key=run):
        if partial:
            runs.append(_reading(config, branches[last], device))
            continue
        members = [branches[at].count for at in some]
        runs.append(Band.of(members, config.context, device) if banded else Full(len(members), last, causal))
    texts = [(branches[at].count, text) for at in order if (text := branches[at].text) is not None]
    texted = max(sum(rows for rows, _ in texts), MIN_ROWS) if texts else 0
    position = torch.cat([branches[at].places for at in order])
    ids = torch.cat([branches[at].ids.T[branches[at].places] for at in order])
    writings = [
        Writing(kept, starts[at], starts[at] + branches[at].count, branches[at].places.to(device))
        for at in order
        if (kept := branches[at].kept) is not None
    ]
    return Packed(
        ids=_padded(ids).to(device),
        position=_padded(position).to(device),
        visible=PackedVisible(runs, texts, texted, writings),
        heads=[_head(branches, starts, codebook, device) for codebook in sorted({b.codebook for b in branches})],
    )


def _reading(config: MAGNeTConfig, branch: Branch, device: torch.device) -> Run:
    if branch.kept is None:
        raise ValueError("some rows alone are evaluated where the others are kept")
    if branch.causal:
        return Newest(branch.kept, int(branch.places))
    context = config.context if config.banded(branch.codebook) else None
    return Reading.of(branch.kept, branch.places.to(device), context)


def _head(branches: Sequence[Branch], starts: dict[int, int], codebook: int, device: torch.device) -> HeadRows:
    mine = [at for at, branch in enumerate(branches) if branch.codebook == codebook]
    rows = torch.cat([torch.searchsorted(branches[at].places, branches[at].wanted) + starts[at] for at in mine])
    return HeadRows(codebook, rows.to(device), mine, [len(branches[at].wanted) for at in mine])


def _padded(rows: Tensor) -> Tensor:
    """Linear layers want MIN_ROWS rows; what the added ones compute is not read."""
    missing = MIN_ROWS - len(rows)
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing > 0 else rows
