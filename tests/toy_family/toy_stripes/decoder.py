"""Stripes by iterative unmasking: a colour depends on (seed, sample, stripe), the order on the step."""

import json
import time
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import cast

import numpy as np

from models.decoder import Artifact, GenerationRequest, Kind, Sequence, Work
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import continue_counts, reveal_counts
from models.spec import DecoderSpec

UNKNOWN = -1


def draw(*key: int) -> int:
    """A number of 32 bits from its key."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=4).digest(), "big")


@dataclass(eq=False)
class StripesSequence(Sequence):
    tokens: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # [L], UNKNOWN where masked
    encoded: bool = True
    finished: bool = False


class StripesDecoder:
    def __init__(self, spec: DecoderSpec, palette: np.ndarray, step_seconds: float = 0.0) -> None:
        self.spec = spec
        self._palette = palette  # uint8 [V, 3]
        self._step_seconds = step_seconds

    # -- admission

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        return [self._place(request, sample) for sample in range(request.n)]

    def _place(self, request: GenerationRequest, sample: int) -> StripesSequence:
        unknown = self._unknown(request, sample)
        count = int(unknown.sum())
        if count == 0:
            raise ValueError("the mask leaves nothing to be made")
        plan = request.plan or self._plan(request, count)
        if plan.total != count:
            raise ValueError(f"the plan reveals {plan.total} tokens, the request leaves {count} unknown")
        given = np.zeros(self.spec.length, dtype=np.int32) if request.tokens is None else request.tokens
        return StripesSequence(
            request,
            sample,
            plan,
            known=self.spec.length - count,
            total=self.spec.length,
            tokens=np.where(unknown, UNKNOWN, given).astype(np.int32),
            encoded=request.image is None or request.tokens is not None,
        )

    def _unknown(self, request: GenerationRequest, sample: int) -> np.ndarray:
        """Which tokens are to be made: bool [L]."""
        length, (rows, columns) = self.spec.length, self.spec.grid
        if request.task == "edit":
            if request.mask is None:
                raise ValueError("an edit needs a mask")
            cells = request.mask.reshape(rows, self._cell, columns, self._cell)
            return cells.any(axis=(1, 3)).reshape(-1)
        count = length if request.task == "generate" else max(1, round(request.strength * length))
        order = sorted(range(length), key=lambda at: (draw(request.seed, sample, -1, at), at))
        unknown = np.zeros(length, dtype=bool)
        unknown[order[:count]] = True
        return unknown

    def _plan(self, request: GenerationRequest, count: int) -> Plan:
        sampling = request.sampling
        counts = reveal_counts(sampling.schedule, count, min(sampling.num_inference_steps, count))
        return grouped(counts, sampling.reuse, sampling.full_first)

    # -- works

    def next_work(self, seq: Sequence) -> Work | None:
        own = _own(seq)
        if own.finished:
            return None
        if not own.encoded:
            return Work(Kind.ENCODE, "encode", 1)
        if own.step == own.plan.steps:
            return Work(Kind.FINISH, "finish", 1)
        return Work(Kind.STEP, "step", own.plan.reveals[own.step])

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        if work.kind is Kind.ENCODE:
            for seq in map(_own, seqs):
                self._encode(seq)
            return
        time.sleep(self._step_seconds)
        for seq in map(_own, seqs):
            self._step(seq)

    def _encode(self, seq: StripesSequence) -> None:
        """Every kept cell becomes the nearest colour of the palette."""
        rows, columns = self.spec.grid
        image = cast(np.ndarray, seq.request.image).astype(np.float32)
        cells = image.reshape(rows, self._cell, columns, self._cell, 3).mean(axis=(1, 3)).reshape(-1, 1, 3)
        nearest = ((cells - self._palette.astype(np.float32)) ** 2).sum(axis=-1).argmin(axis=-1)  # [L]
        seq.tokens = np.where(seq.tokens == UNKNOWN, UNKNOWN, nearest).astype(np.int32)
        seq.encoded = True

    def _step(self, seq: StripesSequence) -> None:
        seed, sample = seq.request.seed, seq.sample
        hidden = np.flatnonzero(seq.tokens == UNKNOWN).tolist()
        hidden.sort(key=lambda at: (draw(seed, sample, seq.step, at), at))
        for at in hidden[: seq.plan.reveals[seq.step]]:
            seq.tokens[at] = draw(seed, sample, -2, self._stripe(seq, at)) % len(self._palette)
        seq.step += 1
        seq.known = int((seq.tokens != UNKNOWN).sum())

    def _stripe(self, seq: StripesSequence, at: int) -> int:
        row, column = divmod(at, self.spec.grid[1])
        return (row, column, row + column)[seq.request.condition or 0]

    # -- results

    def snapshot(self, seq: Sequence) -> object:
        return _own(seq).tokens.copy()

    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        return [self._picture(cast(np.ndarray, tokens)) for tokens in snapshots]

    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        for seq in seqs:
            _own(seq).finished = True
        return [self._picture(_own(seq).tokens) for seq in seqs]

    def _picture(self, tokens: np.ndarray) -> Artifact:
        grey = np.full((1, 3), 128, dtype=np.uint8)
        colours = np.concatenate([self._palette, grey])[tokens].reshape(*self.spec.grid, 3)  # -1 is grey
        pixels = colours.repeat(self._cell, axis=0).repeat(self._cell, axis=1)  # [H, W, 3]
        return Artifact(np.ascontiguousarray(pixels), tokens.astype(np.int32))

    @property
    def _cell(self) -> int:
        return self.spec.size[0] // self.spec.grid[1]

    def memory(self, request: GenerationRequest) -> int:
        return request.n * self.spec.length * 16

    # -- changing, moving, ending

    def at_boundary(self, seq: Sequence) -> bool:
        return seq.step in seq.plan.boundaries

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        if not self.at_boundary(seq):
            raise ValueError("a plan may be shortened only between groups")
        left = sum(seq.plan.reveals[seq.step :])
        steps = max(steps_left, self.spec.min_steps - seq.step, 1)
        if steps < seq.plan.steps - seq.step:
            sampling = seq.request.sampling
            counts = continue_counts(sampling.schedule, left, seq.plan.total, min(steps, left))
            seq.plan = seq.plan.head(seq.step).then(grouped(counts, sampling.reuse, 0))

    def save(self, seq: Sequence) -> bytes:
        own = _own(seq)
        return json.dumps([own.step, str(own.plan), own.encoded, own.tokens.tolist()]).encode()

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        step, plan, encoded, tokens = json.loads(state)
        seq = self._place(request, sample)
        seq.step, seq.plan, seq.encoded = step, Plan.parse(plan), encoded
        seq.tokens = np.array(tokens, dtype=np.int32)
        seq.known = int((seq.tokens != UNKNOWN).sum())
        return seq

    def release(self, seq: Sequence) -> None:
        """Nothing is held outside of the sequence."""


def _own(seq: Sequence) -> StripesSequence:
    return cast(StripesSequence, seq)
