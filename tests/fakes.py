"""A toy decoder (two tokens, no torch), tickets for it, and a driver that runs a scheduler in virtual time."""

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from heapq import heapify, heappop
from itertools import count, pairwise

import numpy as np

from models.decoder import Artifact, GenerationRequest, Kind, PoisonedRows, Sequence, Work
from models.decoding.plan import Plan, grouped
from models.spec import DecoderSpec, Sampling
from service.engine.batch import Batch
from service.engine.events import Event
from service.engine.policy import Policy
from service.engine.request import Priority, Refused, Ticket
from service.engine.scheduler import StepScheduler

UNKNOWN = 2


def toy_spec(id: str = "toy", side: int = 4, **changes: object) -> DecoderSpec:
    """`side` x `side` tokens, each two pixels wide and high."""
    spec = DecoderSpec(
        id=id,
        family="toy",
        modality="image",
        tasks=frozenset({"generate", "edit", "variation"}),
        size=(2 * side, 2 * side),
        grid=(side, side),
        classes=("zebra", "tiger"),
        sampling=Sampling(num_inference_steps=8),
        quality={"low": 4, "medium": 8, "high": 16},
        min_steps=2,
        max_steps=16,
        max_reuse=3,
        guidable=True,
        created=1_700_000_000,
        checkpoint="toy-checkpoint",
        licence="Apache-2.0",
        noncommercial=False,
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


def bit(seed: int, sample: int, step: int, position: int) -> int:
    """The whole model: a token from its key."""
    key = f"{seed}/{sample}/{step}/{position}".encode()
    return blake2b(key, digest_size=1).digest()[0] & 1


def even(tokens: int, steps: int) -> list[int]:
    """`tokens` spread over at most `steps` steps, the rest last."""
    steps = min(tokens, steps)
    edges = [tokens * i // steps for i in range(steps + 1)]
    return [b - a for a, b in pairwise(edges)]


@dataclass(eq=False)
class ToySequence(Sequence):
    tokens: list[int] = field(default_factory=list)
    encoded: bool = True
    finished: bool = False
    links: int = 0  # forwards that are left of the current step's chain
    starting: int = 0  # that come before the first step


@dataclass
class ToyDecoder:
    """Obeys the IterativeDecoder protocol and keeps count of what was asked of it.

    `poisoned` seeds raise PoisonedRows in `run`, `broken` ones RuntimeError, `refused` ones ValueError in `admit`
    and `unplaced` ones KeyError;
    more rows than `oom_rows` raise MemoryError. With `chain` a step ends with that many forwards of another lane, with
    `start` as many come before the first one.
    """

    spec: DecoderSpec = field(default_factory=toy_spec)
    bytes_per_sample: int = 1 << 20
    poisoned: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    unplaced: frozenset[int] = frozenset()
    oom_rows: int | None = None
    chain: int = 0
    start: int = 0
    lane: Callable[[Sequence], str] = lambda seq: "step"
    calls: list[tuple[Kind, int]] = field(default_factory=list)
    live: set[ToySequence] = field(default_factory=set)
    admitted: int = 0
    released: Counter[int] = field(default_factory=Counter)

    @property
    def length(self) -> int:
        return self.spec.length

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        if request.seed in self.refused:
            raise ValueError(f"seed {request.seed} is refused")
        if request.seed in self.unplaced:
            raise KeyError(request.seed)
        return [self._place(request, sample) for sample in range(request.n)]

    def _place(self, request: GenerationRequest, sample: int) -> ToySequence:
        tokens = [UNKNOWN] * self.length
        if request.mask is not None:
            rows, columns = self.spec.grid
            cells = request.mask.reshape(rows, 2, columns, 2).any(axis=(1, 3)).reshape(-1)
            tokens = [UNKNOWN if cell else 0 for cell in cells]
        unknown = tokens.count(UNKNOWN)
        if unknown == 0:
            raise ValueError("the mask leaves nothing to be made")
        plan = request.plan
        if plan is None:
            sampling = request.sampling
            reveals = even(unknown, sampling.num_inference_steps)
            plan = grouped(reveals, sampling.reuse, sampling.full_first)
        if plan.total != unknown:
            raise ValueError(f"the plan reveals {plan.total} tokens, {unknown} are unknown")
        seq = ToySequence(request, sample, plan, known=self.length - unknown, total=self.length, tokens=tokens)
        seq.encoded = request.image is None
        seq.starting = self.start
        self.live.add(seq)
        self.admitted += 1
        return seq

    def next_work(self, seq: Sequence) -> Work | None:
        assert isinstance(seq, ToySequence)
        assert seq in self.live, "asked about a released sequence"
        if seq.finished:
            return None
        if not seq.encoded:
            return Work(Kind.ENCODE, "encode", 1)
        if seq.starting:
            return Work(Kind.START, "start", 1)
        if seq.links:
            return Work(Kind.CHAIN, "chain", seq.plan.reveals[seq.step], seq.links)
        if seq.step == seq.plan.steps:
            return Work(Kind.FINISH, "finish", 1)
        branches = 1 if seq.request.sampling.guidance_scale == 1.0 else 2
        rows = self.length + 1 if self.at_boundary(seq) else 1 + seq.plan.reveals[seq.step]
        return Work(Kind.STEP, self.lane(seq), branches * rows)

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        self.calls.append((work.kind, len(seqs)))
        own = [seq for seq in seqs if isinstance(seq, ToySequence)]
        assert all(seq in self.live for seq in own), "ran a released sequence"
        if self.oom_rows is not None and work.rows > self.oom_rows:
            raise MemoryError
        if any(seq.request.seed in self.broken for seq in own):
            raise RuntimeError("broken")
        if poisoned := [seq for seq in own if seq.request.seed in self.poisoned]:
            raise PoisonedRows(poisoned)
        for seq in own:
            if work.kind is Kind.ENCODE:
                self._encode(seq)
            elif work.kind is Kind.START:
                seq.starting -= 1
            elif work.kind is Kind.CHAIN:
                assert 1 <= work.times <= seq.links, "ran past the end of a chain"
                seq.links -= work.times
            else:
                seq.links = self.chain
            if work.kind not in (Kind.ENCODE, Kind.START) and not seq.links:
                self._step(seq)

    def _encode(self, seq: ToySequence) -> None:
        image = seq.request.image
        assert image is not None
        dark = image[::2, ::2, 0].reshape(-1) < 128
        seq.tokens = [t if t == UNKNOWN else int(d) for t, d in zip(seq.tokens, dark, strict=True)]
        seq.encoded = True

    def _step(self, seq: ToySequence) -> None:
        hidden = [i for i, token in enumerate(seq.tokens) if token == UNKNOWN]
        seed, sample, step = seq.request.seed, seq.sample, seq.step
        hidden.sort(key=lambda i: (bit(seed, sample, step, -1 - i), i))
        for position in hidden[: seq.plan.reveals[step]]:
            seq.tokens[position] = bit(seed, sample, step, position)
        seq.step += 1
        seq.known = self.length - seq.tokens.count(UNKNOWN)

    def snapshot(self, seq: Sequence) -> object:
        assert isinstance(seq, ToySequence)
        return tuple(seq.tokens)

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        self.calls.append((Kind.PREVIEW, len(snapshots)))
        return [self._picture(tokens) for tokens in snapshots]  # type: ignore[arg-type]

    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        self.calls.append((Kind.FINISH, len(seqs)))
        artifacts = []
        for seq in seqs:
            assert isinstance(seq, ToySequence)
            assert seq in self.live, "finished a released sequence"
            seq.finished = True
            artifacts.append(self._picture(seq.tokens))
        return artifacts

    def _picture(self, tokens: Seq[int]) -> Artifact:
        grid = np.array(tokens, dtype=np.int32).reshape(self.spec.grid)
        shades = np.array([255, 0, 128], dtype=np.uint8)[grid]  # [R, C]
        pixels = shades.repeat(2, axis=0).repeat(2, axis=1)[..., None].repeat(3, axis=2)
        return Artifact(pixels, grid.reshape(-1))

    def memory(self, request: GenerationRequest) -> int:
        return request.n * self.bytes_per_sample

    def at_boundary(self, seq: Sequence) -> bool:
        assert isinstance(seq, ToySequence)
        return seq.step in seq.plan.boundaries and not seq.links

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        assert self.at_boundary(seq), "shortened inside a group"
        steps = max(steps_left, self.spec.min_steps - seq.step, 1)
        left = sum(seq.plan.reveals[seq.step :])
        rest = grouped(even(left, steps), seq.request.sampling.reuse, 0)
        if rest.steps < seq.plan.steps - seq.step:
            seq.plan = seq.plan.head(seq.step).then(rest)

    def save(self, seq: Sequence) -> bytes:
        assert isinstance(seq, ToySequence)
        assert self.at_boundary(seq), "saved inside a group"
        return f"{seq.step};{seq.plan};{''.join(map(str, seq.tokens))}".encode()

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        step, plan, tokens = state.decode().split(";")
        seq = self._place(request, sample)
        seq.encoded, seq.step, seq.plan = True, int(step), Plan.parse(plan)
        seq.tokens = [int(token) for token in tokens]
        seq.known = self.length - seq.tokens.count(UNKNOWN)
        return seq

    def release(self, seq: Sequence) -> None:
        assert isinstance(seq, ToySequence)
        self.live.remove(seq)  # a KeyError is a second release
        self.released[seq.request.seed] += 1


def toy_request(seed: int = 0, steps: int = 8, **changes: object) -> GenerationRequest:
    """`changes` are fields of the request or of its sampling."""
    known = Sampling.__dataclass_fields__
    sampling = {name: value for name, value in changes.items() if name in known}
    rest = {name: value for name, value in changes.items() if name not in known}
    return GenerationRequest(
        task=rest.pop("task", "generate"),  # type: ignore[arg-type]
        condition=rest.pop("condition", 0),  # type: ignore[arg-type]
        sampling=Sampling(num_inference_steps=steps, **sampling),  # type: ignore[arg-type]
        seed=seed,
        **rest,  # type: ignore[arg-type]
    )


def toy_ticket(
    id: str,
    seed: int = 0,
    steps: int = 8,
    model: str = "toy",
    priority: Priority = Priority.NORMAL,
    deadline: float | None = None,
    allow_fewer_steps: bool = False,
    owner: str = "",
    states: tuple[bytes, ...] = (),
    **changes: object,
) -> Ticket:
    request = toy_request(seed, steps, **changes)
    return Ticket(id, model, request, priority, deadline, allow_fewer_steps, owner, states, progress=True)


def scheduler_with(*decoders: ToyDecoder, **policy: object) -> StepScheduler:
    """`policy`: fields of a Policy."""
    scheduler = StepScheduler(Policy(**policy), fingerprint="print")  # type: ignore[arg-type]
    for decoder in decoders:
        scheduler.add_model(decoder.spec.id, decoder, 0.0)
    return scheduler


def affine(batch: Batch) -> float:
    """Virtual seconds: of each forward 4 ms and 0.1 ms per row."""
    return batch.work.times * (0.004 + 0.0001 * batch.rows)


def run_batch(scheduler: StepScheduler, batch: Batch, now: float, seconds: Callable[[Batch], float] = affine) -> float:
    """What an engine does with a batch: run, halve on failure, shrink on lack of memory. Returns the time after it."""
    decoder, items = batch.decoder, batch.entries
    elapsed = seconds(batch)
    now += elapsed
    try:
        artifacts: list[Artifact] = []
        if batch.kind is Kind.PREVIEW:
            artifacts = decoder.preview(batch.snapshots)
        elif batch.kind is Kind.FINISH:
            artifacts = decoder.finish(batch.sequences)
        else:
            decoder.run(batch.work, batch.sequences)
    except PoisonedRows as error:
        culprits = batch.holding(error.sequences)
        scheduler.fail(culprits, "internal_error", str(error), now)
        rest = [item for item in items if item not in culprits]
        return run_batch(scheduler, batch.part(rest), now, seconds) if rest else now
    except (MemoryError, RuntimeError) as error:
        if len(items) == 1:
            memory = isinstance(error, MemoryError)
            code = "out_of_memory" if memory else "internal_error"
            scheduler.fail(items, code, str(error), now)
        elif isinstance(error, MemoryError):
            scheduler.shrink(batch, now)
        else:
            for half in batch.halves():
                now = run_batch(scheduler, half, now, seconds)
    else:
        scheduler.commit(batch, elapsed, now, artifacts)
    return now


@dataclass
class Outcome:
    """What a simulation saw: events and refusals with the virtual time at which they came."""

    events: list[tuple[float, Event]] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    batches: list[tuple[float, Batch]] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)  # virtual seconds by owner
    ended: float = 0.0

    def of(self, ticket: str) -> list[Event]:
        return [event for _, event in self.events if event.request == ticket]

    def last(self, ticket: str) -> Event:
        return self.of(ticket)[-1]

    def when(self, ticket: str) -> float:
        """The time of its last event."""
        return next(at for at, event in reversed(self.events) if event.request == ticket)


Action = Callable[[StepScheduler, float], None]


def simulate(
    scheduler: StepScheduler,
    script: Iterable[tuple[float, Ticket | Action]],
    seconds: Callable[[Batch], float] = affine,
    until: float = float("inf"),
    watch: Callable[[StepScheduler, Batch, float], None] = lambda scheduler, batch, now: None,
) -> Outcome:
    """Play a script of (time, ticket or action) until nothing is left to do, or `until`."""
    outcome, number = Outcome(), count()
    pending = [(at, next(number), what) for at, what in script]
    heapify(pending)
    now = 0.0
    while now < until:
        while pending and pending[0][0] <= now:
            _, _, what = heappop(pending)
            try:
                if isinstance(what, Ticket):
                    scheduler.submit(what, now)
                else:
                    what(scheduler, now)
            except Refused as error:
                assert isinstance(what, Ticket)
                outcome.refused[what.id] = error
        batch = scheduler.plan(now)
        outcome.events += [(now, event) for event in scheduler.take_events()]
        if batch is not None:
            outcome.batches.append((now, batch))
            watch(scheduler, batch, now)
            shares = [(item.job.ticket.owner, item.work.rows / batch.rows) for item in batch.entries]
            began, now = now, run_batch(scheduler, batch, now, seconds)
            for owner, share in shares:
                outcome.spent[owner] += (now - began) * share  # type: ignore[assignment]
            outcome.events += [(now, event) for event in scheduler.take_events()]
            continue
        deadline = scheduler.next_deadline()
        coming = [pending[0][0]] if pending else []
        coming += [deadline] if deadline is not None else []
        if not coming:
            break
        now = max(now, min(coming))
    outcome.ended = now
    return outcome
