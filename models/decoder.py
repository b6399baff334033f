"""The one abstraction: a decoder advances many independent sequences by one step in one forward."""

from collections.abc import Hashable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np

from models.decoding.plan import Plan
from models.spec import ClipTask, DecoderSpec, Sampling, Task

Condition = int | tuple[int, ...] | str  # a class, the terms of a caption, or a text


@dataclass(frozen=True)
class GenerationRequest:
    """What is to be made. Sample i depends on (seed, i) alone.

    image: uint8 [H, W, C] at the model's size; waveform: float32 [N, C] at its rate; mask: bool [H, W] or [N], true
    where pixels or samples are to be made anew; tokens: int [L], float [L, C] or int [K, T], a kept grid that saves the
    encoding of `image` or `waveform`; frames: tokens along time (0: as many as the model makes, or as the waveform
    has), of which those behind a waveform's end are to be made; loop: the end leads over into the beginning;
    strength: share of tokens that variations re-make.
    clip_task: what a video model makes `frames` frames from, with those before (`past`) and behind (`future`) them,
    uint8 [n, H, W, C]; an edit has what is known of them in `image` [frames, H, W, C] and `mask` [frames, H, W].
    """

    task: Task
    condition: Condition | None
    sampling: Sampling
    seed: int
    n: int = 1
    plan: Plan | None = None
    image: np.ndarray | None = None
    waveform: np.ndarray | None = None
    frames: int = 0
    loop: bool = False
    mask: np.ndarray | None = None
    tokens: np.ndarray | None = None
    strength: float = 0.5
    clip_task: ClipTask | None = None
    past: np.ndarray | None = None
    future: np.ndarray | None = None
    partials: int = 0

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that was given."""
        given = (self.image, self.waveform, self.mask, self.tokens, self.past, self.future)
        return tuple(one for one in given if one is not None)


class Kind(StrEnum):
    """START: one of many forwards that a sequence needs before its first step."""

    ENCODE = "encode"
    START = "start"
    STEP = "step"
    CHAIN = "chain"
    PREVIEW = "preview"
    FINISH = "finish"


@dataclass(frozen=True)
class Work:
    """The next thing a sequence needs: works of one lane share a forward; rows is their relative cost.

    times: how many such forwards are due one after the other (a diffusion chain); of a batch, how many are to be run.
    """

    kind: Kind
    lane: Hashable
    rows: int
    times: int = 1


@dataclass(eq=False)
class Sequence:
    """One sample being decoded. Families add their state; what is here drives progress and previews."""

    request: GenerationRequest
    sample: int
    plan: Plan
    step: int = 0
    known: int = 0  # tokens decided, given ones included
    total: int = 0  # tokens of the grid

    @property
    def steps_total(self) -> int:
        return self.plan.steps

    @property
    def steps_full(self) -> int:
        return self.plan.full

    @property
    def steps_reuse(self) -> int:
        return self.plan.reuse

    @property
    def made(self) -> int:
        """Tokens that the request asked for, as billed."""
        return self.plan.total

    @property
    def revealed(self) -> float:
        return self.known / self.total


@dataclass(frozen=True)
class Artifact:
    """A finished or partial sample and its tokens: pixels uint8 [H, W, C] with [L] or [L, C], audio samples float32
    [N, C] with [K, T], or frames uint8 [frames, H, W, C] with none, [0].

    Where previews were asked for, `extra` may hold `known` (bool [L]: decided), `confidence` (float [L]: probability of
    what is shown) and `order` (int [L]: by which step it was decided; 0: given or undecided), for the clients.
    """

    array: np.ndarray
    tokens: np.ndarray
    extra: dict[str, object] = field(default_factory=dict)


class Misfit(ValueError):
    """A request that a model cannot do. `param` names what is wrong, as clients call it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class PoisonedRows(ArithmeticError):
    """Some sequences of a batch produced non-finite values; nothing was committed."""

    def __init__(self, sequences: Seq[Sequence]) -> None:
        super().__init__(f"{len(sequences)} sequence(s) produced non-finite values")
        self.sequences = list(sequences)


class IterativeDecoder(Protocol):
    """A loaded model. `run` computes, then commits: when it raises, no sequence has changed."""

    spec: DecoderSpec

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        """Cheap: build the state of the `n` samples. Raises ValueError, better Misfit, for what does not fit."""
        ...

    def next_work(self, seq: Sequence) -> Work | None:
        """The work that advances `seq`; its FINISH work is the last, then None."""
        ...

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        """ONE forward for all (ENCODE, STEP), each with its own schedule, temperature, guidance and noise.

        CHAIN: `work.times` of them, at most as many as are due for every one of `seqs`.
        """
        ...

    def snapshot(self, seq: Sequence) -> object:
        """A copy of what a preview needs; cheap."""
        ...

    def preview_work(self, seq: Sequence) -> Work: ...

    def preview(self, snapshots: Seq[object]) -> list[Artifact]: ...

    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]: ...

    def memory(self, request: GenerationRequest) -> int:
        """Bytes that the request holds while it runs: state, reuse slots and its share of activations."""
        ...

    def at_boundary(self, seq: Sequence) -> bool:
        """True between groups: the only places where a plan may change or a state may be saved."""
        ...

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        """Re-plan the rest into at most `steps_left` steps (at a boundary, never below the spec's min_steps)."""
        ...

    def save(self, seq: Sequence) -> bytes: ...

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence: ...

    def release(self, seq: Sequence) -> None: ...
