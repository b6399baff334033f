"""MCVD behind the `IterativeDecoder` seam: a sequence makes its frames block by block, each from noise.

ENCODE begins a block: what the network knows of the frames around it is computed once. A STEP is one network call for
sequences at any block, call, task and sampler.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import cast

import msgpack
import numpy as np
import torch
from torch import Tensor

from models.decoder import Artifact, GenerationRequest, Kind, PoisonedRows, Sequence, Work
from models.decoding.failure import NotFinite
from models.decoding.noise import sequence_key
from models.mcvd.admission import check_request, known_of, samplers_of
from models.mcvd.clip import Begun, Clip
from models.mcvd.network import MCVD
from models.mcvd.noise import FrameNoise
from models.mcvd.pixels import to_channels, to_frames
from models.mcvd.samplers import Sampler
from models.mcvd.sequence import ClipSequence, own, planned, shortened
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task
from models.spec import DecoderSpec, Footage

FLOAT = 4
SAVED_EVERY = 8
"""Calls: a state is as large as a block, so it is not written at each of them."""
WORKING = 6.0
"""Floats per pixel and channel of the widest level that a call works with, beside its skips; measured: 4 to 6."""


@dataclass(frozen=True)
class Predicted:
    """Of which sequence of a batch each row is, [N]."""

    sequence: Tensor


@dataclass(frozen=True)
class Snapshot:
    """frames uint8 [n, H, W, C], of which `done` will not change."""

    frames: np.ndarray
    done: int


Probe = Callable[[Seq[Sequence], Predicted, Tensor], None]  # sequences, rows, predicted noise [N, F * C, S, S]
NO_TOKENS = np.zeros(0, np.uint8)


class MCVDDecoder:
    """An MCVD; `noise` is injected by parity tests, `probe` sees every step."""

    def __init__(
        self,
        spec: DecoderSpec,
        network: MCVD,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        noise: FrameNoise | None = None,
    ) -> None:
        self.spec = spec
        self.footage = cast(Footage, spec.footage)
        self.config = network.config
        self.probe: Probe | None = None
        self.network = network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.stepper = ClipStepper(self.network, noise, device)

    # -- admission

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        samplers = samplers_of(request.sampling, self.spec, self.footage.blocks(request.frames))
        task = check_request(request, self.spec, self.footage, self.config)
        return [self._place(request, sample, task, samplers) for sample in range(request.n)]

    def _place(
        self, request: GenerationRequest, sample: int, task: Task, samplers: tuple[Sampler, ...]
    ) -> ClipSequence:
        past, future = (None if one is None else to_channels(one) for one in (request.past, request.future))
        clip = Clip.begin(
            self.config,
            sequence_key(request.seed, sample),
            task,
            samplers[0],
            request.frames,
            past,
            future,
            known_of(request, self.config),
        )
        return ClipSequence(
            request=request,
            sample=sample,
            plan=planned(self.config, request.frames, samplers),
            total=request.frames,
            clip=clip,
            train_steps=self.config.train_steps,
            samplers=samplers,
            frames=[],
        )

    # -- works

    def next_work(self, seq: Sequence) -> Work | None:
        seq = own(seq)
        if seq.finished:
            return None
        if seq.clip.done:
            return Work(Kind.FINISH, "finish", 1)
        if seq.clip.block is None:
            return Work(Kind.ENCODE, "begin", 1)
        return Work(Kind.STEP, "step", 1)

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        mine = [own(seq) for seq in seqs]
        if work.kind is Kind.STEP:
            self._step(mine)
            return
        for seq in mine:
            seq.clip.sampler = seq.samplers[seq.clip.index]
        self.stepper.begin([seq.clip for seq in mine])

    def _step(self, seqs: list[ClipSequence]) -> None:
        self.stepper.probe = self._asking(seqs)
        try:
            self.stepper.step([seq.clip for seq in seqs])
        except NotFinite as error:
            raise PoisonedRows([seqs[at] for at in error.rows]) from None
        for seq in seqs:
            seq.known += seq.plan.reveals[seq.step]
            seq.step += 1
            seq.frames += [to_frames(block, self.config.channels) for block in seq.clip.take()]

    def _asking(self, seqs: Seq[Sequence]) -> Callable[[Tensor], None] | None:
        probe = self.probe
        if probe is None:
            return None
        return lambda noise: probe(seqs, Predicted(torch.arange(len(seqs))), noise)

    # -- previews and results

    def snapshot(self, seq: Sequence) -> object:
        seq = own(seq)
        return Snapshot(seq.shown(estimated=True), seq.known)

    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        return [Artifact(shot.frames, NO_TOKENS, {"done": shot.done}) for shot in cast(Seq[Snapshot], snapshots)]

    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        artifacts = []
        for seq in map(own, seqs):
            seq.finished = True
            artifacts.append(Artifact(seq.shown(), NO_TOKENS))
        return artifacts

    # -- resources

    def memory(self, request: GenerationRequest) -> int:
        """A block with what the network knows around it, frames that were made or given, and a call at work."""
        config = self.config
        area = config.resolution**2
        block = (3 * config.block_channels + 2 * config.shown_channels) * area
        frames = config.channels * area * max(request.frames, config.frames)
        known = 2 * frames if request.task == "edit" else 0
        return int(request.n * (FLOAT * (self._map_floats + block + known) + frames) + FLOAT * self._call_floats)

    @property
    def _map_floats(self) -> int:
        """Of all SPADE norms of a row."""
        return sum(
            2 * spade.gamma.out_channels * spade.side**2
            for spade in (getattr(module, "spade", None) for module in self.network.modules())
            if spade is not None
        )

    @property
    def _call_floats(self) -> float:
        config = self.config
        levels = list(zip(config.widths, config.sides, strict=True))
        skips = sum((config.res_blocks + 1) * width * side**2 for width, side in levels)
        attended = sum(config.heads(width) * side**4 for width, side in levels if side in config.attention)
        return skips + WORKING * max(width * side**2 for width, side in levels) + attended

    def at_boundary(self, seq: Sequence) -> bool:
        """Calls do not depend on those before them but by the block."""
        seq = own(seq)
        return seq.call % SAVED_EVERY == 0

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        """Blocks that have not begun get fewer steps."""
        seq = own(seq)
        seq.samplers = shortened(seq, steps_left, self.spec.min_steps)
        seq.plan = planned(self.config, seq.clip.total, seq.samplers)
        if seq.clip.block is not None:
            seq.clip.sampler = seq.samplers[seq.clip.index]

    def save(self, seq: Sequence) -> bytes:
        seq = own(seq)
        clip = seq.clip
        x = clip.block.x if clip.block is not None else clip.begun.x if clip.begun is not None else None
        saved = {
            "steps": [sampler.steps for sampler in seq.samplers],
            "step": seq.step,
            "index": clip.index,
            "call": seq.call,
            "shown": _bytes(clip.shown),
            "x": None if x is None else _bytes(x),
            "frames": [block.tobytes() for block in seq.frames],
        }
        return cast(bytes, msgpack.packb(saved))

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        """What the network knows around the block is computed again."""
        saved = msgpack.unpackb(state)
        sampling = replace(request.sampling, block_steps=tuple(saved["steps"]))
        samplers = samplers_of(sampling, self.spec, self.footage.blocks(request.frames))
        task = check_request(request, self.spec, self.footage, self.config)
        seq = self._place(request, sample, task, samplers)
        clip = seq.clip
        seq.step, clip.index = saved["step"], saved["index"]
        seq.known = sum(seq.plan.reveals[: seq.step])
        clip.shown = _tensor(saved["shown"], clip.shown.shape)
        side = self.config.resolution
        size = (self.config.block_channels, side, side)
        if saved["x"] is not None:
            clip.begun = Begun(_tensor(saved["x"], size), saved["call"])
        shape = (-1, side, side, self.config.channels)
        seq.frames = [np.frombuffer(block, np.uint8).reshape(shape).copy() for block in saved["frames"]]
        return seq

    def release(self, seq: Sequence) -> None:
        own(seq).clip.block = None


def _bytes(x: Tensor) -> bytes:
    return x.float().cpu().numpy().tobytes()


def _tensor(content: bytes, shape: Seq[int]) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.float32).copy()).reshape(tuple(shape))
