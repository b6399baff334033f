"""MaskGIT behind the `IterativeDecoder` seam: admission, plans, and the works of a sequence's life."""

from collections.abc import Sequence as Seq
from typing import cast

import msgpack
import numpy as np
import torch
from torch import Tensor, nn

from models.decoder import Artifact, Condition, GenerationRequest, Kind, Sequence, Work
from models.decoding.admission import check_shapes, choose_plan, unknown_tokens
from models.decoding.annealing import anneal
from models.decoding.noise import CounterNoise, Noise, sequence_key
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import continue_counts
from models.decoding.slots import KVSlots
from models.layers.linear import PackedLinear, pack_linears
from models.maskgit.condition import check_condition
from models.maskgit.network import UViT
from models.maskgit.pack import pack
from models.maskgit.state import MaskGITSequence, Snapshot, StatePool
from models.maskgit.step import Probe, commit, decide, evaluate
from models.spec import DecoderSpec
from models.tokenizers.base import Tokenizer


class MaskGITDecoder:
    """A U-ViT and its tokenizer. `noise` is injected by parity tests; `probe` sees the logits of every step."""

    def __init__(
        self,
        spec: DecoderSpec,
        network: UViT,
        tokenizer: Tokenizer,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        noise: Noise | None = None,
    ) -> None:
        self.spec = spec
        self.device = device
        self.dtype = dtype
        self.config = network.config
        self.noise: Noise = noise or CounterNoise()
        self.probe: Probe | None = None
        self.network = network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.tokenizer: Tokenizer = tokenizer.to(device).eval().requires_grad_(False)
        project = self._tied_projection()
        self.project: nn.Module = project
        if device == "cpu" and torch.backends.mkldnn.is_available():
            pack_linears(self.network)
            self.project = PackedLinear(project)
        nothing = self._condition(None)
        self.pool = StatePool(self.config.length, spec.max_steps, nothing)
        self.slots = KVSlots(
            self.config.blocks,
            self.config.length + 1,
            self.config.heads,
            self.config.head_dim,
            device,
            dtype,
        )

    def _tied_projection(self) -> nn.Linear:
        weight, bias = self.network.tied
        linear = nn.Linear(weight.shape[1], len(weight), device=self.device, dtype=self.dtype)
        linear.load_state_dict({"weight": weight, "bias": bias})
        return linear.requires_grad_(False)

    def _condition(self, condition: Condition | None) -> Tensor:
        """[D]: computed for one request alone, so that its bytes do not depend on others."""
        return self.network.condition(torch.tensor(self.config.label(condition), device=self.device))

    # -- admission

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        check_shapes(request, self.spec)
        check_condition(request.condition, self.config)
        unknown = unknown_tokens(request, self.spec)
        plans = [choose_plan(request, self.spec, int(mask.sum())) for mask in unknown]
        placed: list[Sequence] = []
        try:
            for sample, (plan, mask) in enumerate(zip(plans, unknown, strict=True)):
                placed.append(self._place(request, sample, plan, mask))
        except Exception:
            for seq in placed:
                self.release(seq)
            raise
        return placed

    def _place(self, request: GenerationRequest, sample: int, plan: Plan, unknown: Tensor) -> MaskGITSequence:
        pool, slot = self.pool, self.pool.take()
        seq = MaskGITSequence(
            request=request,
            sample=sample,
            plan=plan,
            known=self.config.length - plan.total,
            total=self.config.length,
            slot=slot,
            encoded=request.image is None or request.tokens is not None,
            guided=request.sampling.guidance_scale != 1.0 and request.condition is not None,
            joint=request.sampling.draw == "joint",
            bounds=frozenset(plan.boundaries),
        )
        try:
            self._fill(seq, unknown)
        except Exception:
            pool.give(slot)
            raise
        return seq

    def _fill(self, seq: MaskGITSequence, unknown: Tensor) -> None:
        pool, slot, request = self.pool, seq.slot, seq.request
        ids: Tensor | int = self.config.mask_id
        if request.tokens is not None:
            given = torch.from_numpy(request.tokens.astype(np.int64))
            ids = given.masked_fill(unknown, self.config.mask_id).to(self.device)
        pool.ids[slot] = ids
        pool.known[slot] = ~unknown.to(self.device)
        pool.guess[slot] = 0
        pool.confidence[slot] = 1.0  # of given tokens
        pool.written[slot] = 0
        key = sequence_key(request.seed, seq.sample)
        pool.numbers[slot] = torch.tensor((key, request.sampling.top_k))
        pool.condition[slot] = self._condition(request.condition)
        pool.top_p[slot] = request.sampling.top_p
        pool.anneal(slot, anneal(seq.plan, request.sampling))

    # -- works

    def next_work(self, seq: Sequence) -> Work | None:
        seq = _own(seq)
        if seq.finished:
            return None
        if not seq.encoded:
            return Work(Kind.ENCODE, "encode", 1)
        if seq.step == seq.plan.steps:
            return Work(Kind.FINISH, "finish", 1)
        return Work(Kind.STEP, "step", self._rows(seq))

    def _rows(self, seq: MaskGITSequence) -> int:
        branches = 2 if seq.guided else 1
        if seq.full_next:
            return branches * (self.config.length + 1)
        return branches * (1 + seq.plan.targets[seq.step][0])

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    @torch.inference_mode()
    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        own = [_own(seq) for seq in seqs]
        if work.kind is Kind.ENCODE:
            self._encode(own)
        else:
            self._step(own)

    def _encode(self, seqs: list[MaskGITSequence]) -> None:
        pictures = {id(seq.request): seq.request.image for seq in seqs}
        stacked = np.stack([image for image in pictures.values() if image is not None])
        pixels = torch.from_numpy(stacked).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        ids = dict(zip(pictures, self.tokenizer.encode_batched(pixels), strict=True))
        for seq in seqs:
            known = self.pool.known[seq.slot]
            self.pool.ids[seq.slot] = torch.where(known, ids[id(seq.request)], self.config.mask_id)
            seq.encoded = True

    def _step(self, seqs: list[MaskGITSequence]) -> None:
        ordered = sorted(seqs, key=lambda seq: not seq.full_next)
        full = sum(seq.full_next for seq in ordered)
        opening = [seq for seq in ordered[:full] if (seq.step + 1) not in seq.bounds]
        try:
            for seq in opening:
                seq.kv = self.slots.take(2 if seq.guided else 1)
            packed = pack(self.pool, self.slots, ordered, full)
            logits = evaluate(self.network, self.project, packed)
            if self.probe is not None:
                self.probe(ordered, packed.draw, logits)
            update = decide(self.pool, self.noise, ordered, packed, logits)
        except BaseException:
            for seq in opening:
                self._close_group(seq)
            raise
        commit(self.pool, ordered, update)
        for seq in ordered:
            if seq.full_next:
                self._close_group(seq)

    def _close_group(self, seq: MaskGITSequence) -> None:
        self.slots.give(seq.kv)
        seq.kv = []

    # -- results

    def snapshot(self, seq: Sequence) -> Snapshot:
        pool, slot = self.pool, _own(seq).slot
        known = pool.known[slot].clone()
        ids = torch.where(known, pool.ids[slot], pool.guess[slot])
        return Snapshot(ids, known, pool.confidence[slot].clone(), pool.written[slot].clone())

    @torch.inference_mode()
    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        shots = [cast(Snapshot, shot) for shot in snapshots]
        made = self._decode([shot.ids for shot in shots])
        for artifact, shot in zip(made, shots, strict=True):
            artifact.extra.update(shot.extra)
        return made

    @torch.inference_mode()
    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        made = self._decode([self.pool.ids[_own(seq).slot] for seq in seqs])
        for seq, artifact in zip(seqs, made, strict=True):
            _own(seq).finished = True
            if seq.request.partials:
                artifact.extra.update(self.snapshot(seq).extra)
        return made

    def _decode(self, grids: list[Tensor]) -> list[Artifact]:
        ids = torch.stack(grids)
        images = self.tokenizer.decode_batched(ids)  # [N, C, H, W] in [0, 1]
        pixels = (images * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        tokens = ids.to(torch.int32).cpu().numpy()
        return [Artifact(np.ascontiguousarray(p), t) for p, t in zip(pixels, tokens, strict=True)]

    def memory(self, request: GenerationRequest) -> int:
        branches = 2 if request.sampling.guidance_scale != 1.0 else 1
        reuses = request.sampling.reuse > 0 or (request.plan is not None and request.plan.reuse > 0)
        rows = branches * (self.config.length + 1)
        width = int(self.config.dim * (self.config.mlp_ratio + 8 + self.config.depth / 2)) * 4  # skips included
        logits = self.config.length * self.config.codebook_size * 4 * 4
        kept = self.slots.slot_bytes * branches if reuses else 0
        return request.n * (rows * width + logits + kept + self.config.length * 64)

    # -- changing, moving, ending

    def at_boundary(self, seq: Sequence) -> bool:
        return _own(seq).full_next

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        seq = _own(seq)
        if not seq.full_next:
            raise ValueError("a plan may be shortened only between groups")
        left = seq.plan.total - sum(seq.plan.reveals[: seq.step])
        steps = max(steps_left, self.spec.min_steps - seq.step, 1)
        if left == 0 or steps >= seq.plan.steps - seq.step:
            return
        sampling = seq.request.sampling
        counts = continue_counts(sampling.schedule, left, seq.plan.total, min(steps, left))
        first = max(0, sampling.full_first - seq.step)
        seq.plan = seq.plan.head(seq.step).then(grouped(counts, sampling.reuse, first))
        seq.bounds = frozenset(seq.plan.boundaries)
        self.pool.anneal(seq.slot, anneal(seq.plan, sampling))

    def save(self, seq: Sequence) -> bytes:
        seq = _own(seq)
        if not seq.full_next:
            raise ValueError("a state may be saved only between groups")
        state = {
            "step": seq.step,
            "plan": str(seq.plan),
            "encoded": seq.encoded,
            "ids": self.pool.ids[seq.slot].to(torch.int32).cpu().numpy().tobytes(),
            "known": self.pool.known[seq.slot].cpu().numpy().tobytes(),
        }
        return cast(bytes, msgpack.packb(state))

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        saved = msgpack.unpackb(state)
        plan = Plan.parse(saved["plan"])
        known = torch.from_numpy(np.frombuffer(saved["known"], dtype=np.bool_).copy())
        ids = np.frombuffer(saved["ids"], dtype=np.int32).astype(np.int64)
        seq = self._place(request, sample, plan, ~known)
        seq.step, seq.encoded = saved["step"], saved["encoded"]
        seq.known = int(known.sum())
        self.pool.ids[seq.slot] = torch.from_numpy(ids).to(self.device)
        return seq

    def release(self, seq: Sequence) -> None:
        seq = _own(seq)
        self._close_group(seq)
        self.pool.give(seq.slot)


def _own(seq: Sequence) -> MaskGITSequence:
    return cast(MaskGITSequence, seq)
