"""MAR behind the `IterativeDecoder` seam: admission, plans, and the works of a sequence's life.

A step is two works: STEP, one forward of both stacks, ends at z of the tokens that it reveals; CHAIN makes these
tokens, in as many reverse steps at a time as a tick has room for, together with those of any other sequence.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import cast

import msgpack
import numpy as np
import torch
from torch import Tensor

from models.decoder import Artifact, GenerationRequest, Kind, Sequence, Work
from models.decoding.admission import choose_plan, unknown_tokens
from models.decoding.noise import sequence_key
from models.decoding.plan import Plan, grouped
from models.decoding.schedules import continue_counts
from models.layers.linear import pack_linears
from models.mar.admission import chain_lengths, check_request
from models.mar.chain import ChainStepper
from models.mar.fused import FusedHead
from models.mar.network import MAR
from models.mar.order import ChainNoise, CounterChainNoise, reveal_order
from models.mar.patches import patchify, unpatchify
from models.mar.previews import Snapshot
from models.mar.schedule import guidance_scales, reveal_counts
from models.mar.sequence import MARSequence, own
from models.mar.slots import StackSlots
from models.mar.step import Probe, advance, begin, evaluate
from models.spec import DecoderSpec
from models.tokenizers.base import Tokenizer


class MARDecoder:
    """A MAR and its KL autoencoder.

    `noise` and `order` (key, L -> permutation [L]) are injected by parity tests; `probe` sees z of every step.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        network: MAR,
        tokenizer: Tokenizer,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        noise: ChainNoise | None = None,
        order: Callable[[int, int], Tensor] = reveal_order,
    ) -> None:
        self.spec = spec
        self.device = device
        self.config = network.config
        self.noise: ChainNoise = noise or CounterChainNoise()
        self.order = order
        self.probe: Probe | None = None
        self.network = network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.tokenizer: Tokenizer = tokenizer.to(device).eval().requires_grad_(False)
        packed = device == "cpu" and torch.backends.mkldnn.is_available()
        head = FusedHead(self.network.head, packed)
        del self.network.head
        if packed:
            pack_linears(self.network)
        self.stepper = ChainStepper(head, self.config.train_steps, device)
        self.slots = StackSlots(self.config, device, dtype)

    # -- admission

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        check_request(request, self.spec, self.config)
        unknown = unknown_tokens(request, self.spec)
        plans = [choose_plan(request, self.spec, int(mask.sum()), reveal_counts) for mask in unknown]
        return [
            self._place(request, sample, plan, mask)
            for sample, (plan, mask) in enumerate(zip(plans, unknown, strict=True))
        ]

    def _place(self, request: GenerationRequest, sample: int, plan: Plan, unknown: Tensor) -> MARSequence:
        config, sampling = self.config, request.sampling
        key = sequence_key(request.seed, sample)
        unknown = unknown.to(self.device)
        order = self.order(key, config.length).to(self.device)
        tokens = torch.zeros(config.length, config.token_channels, device=self.device)
        if request.tokens is not None:
            kept = torch.from_numpy(request.tokens.astype(np.float32)).to(self.device)
            tokens = torch.where(unknown.unsqueeze(-1), tokens, kept)
        return MARSequence(
            request=request,
            sample=sample,
            plan=plan,
            known=config.length - plan.total,
            total=config.length,
            key=key,
            label=config.null_class if request.condition is None else cast(int, request.condition),
            order=order[unknown[order]],
            given=(~unknown).nonzero().squeeze(-1),
            tokens=tokens,
            written=torch.zeros(config.length, dtype=torch.int16, device=self.device),
            scales=self._scales(request, plan),
            lengths=chain_lengths(sampling, config),
            guided=sampling.guidance_scale != 1.0 and request.condition is not None,
            buffer_kept=sampling.reuse_buffer,
            bounds=frozenset(plan.boundaries),
            encoded=request.image is None or request.tokens is not None,
        )

    def _scales(self, request: GenerationRequest, plan: Plan) -> tuple[float, ...]:
        sampling = request.sampling
        return guidance_scales(plan, self.config.length, sampling.guidance_scale, sampling.guidance_schedule)

    # -- works

    def next_work(self, seq: Sequence) -> Work | None:
        seq = own(seq)
        if seq.finished:
            return None
        if not seq.encoded:
            return Work(Kind.ENCODE, "encode", 1)
        if seq.chain is not None:
            return Work(Kind.CHAIN, "chain", seq.chain.rows, seq.chain.left)
        if seq.step == seq.plan.steps:
            return Work(Kind.FINISH, "finish", 1)
        return Work(Kind.STEP, "step", self._rows(seq))

    def _rows(self, seq: MARSequence) -> int:
        """Of both stacks together."""
        buffer, (targets, before) = self.config.buffer, seq.plan.targets[seq.step]
        if seq.full_next:
            return seq.branches * (2 * buffer + seq.known + self.config.length)
        return seq.branches * ((0 if seq.buffer_kept else 2 * buffer) + before + targets)

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    @torch.inference_mode()
    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        mine = [own(seq) for seq in seqs]
        if work.kind is Kind.ENCODE:
            self._encode(mine)
        elif work.kind is Kind.STEP:
            self._step(mine)
        else:
            self._chain(mine, work.times)

    def _encode(self, seqs: list[MARSequence]) -> None:
        pictures = {id(seq.request): seq.request.image for seq in seqs}
        stacked = np.stack([image for image in pictures.values() if image is not None])
        pixels = torch.from_numpy(stacked).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        made = patchify(self.tokenizer.encode_batched(pixels), self.config.patch)
        tokens = dict(zip(pictures, made, strict=True))
        for seq in seqs:
            seq.tokens[seq.given] = tokens[id(seq.request)][seq.given]
            seq.encoded = True

    def _step(self, seqs: list[MARSequence]) -> None:
        """z of the next tokens; their chains begin. Full steps side by side share attention calls."""
        ordered = sorted(seqs, key=lambda seq: not seq.full_next)
        opening = [seq for seq in ordered if seq.opens]
        try:
            for seq in opening:
                seq.kept = self.slots.take(seq.branches)
            wanted, z = evaluate(self.network, self.slots, ordered)
            if self.probe is not None:
                self.probe(ordered, wanted, z)
            chains = begin(self.stepper, self.noise, ordered, wanted, z, self.config.token_channels)
        except BaseException:
            for seq in opening:
                self._close_group(seq)
            raise
        for seq, chain in zip(ordered, chains, strict=True):
            seq.chain = chain
            if seq.closes:
                self._close_group(seq)

    def _chain(self, seqs: list[MARSequence], times: int) -> None:
        """Chains that end give their tokens to the sequence, which has made a step."""
        for seq, chain in zip(seqs, advance(self.stepper, self.noise, seqs, times), strict=True):
            seq.chain = chain
            if chain.left:
                continue
            seq.tokens[chain.position] = chain.x
            seq.written[chain.position] = seq.step + 1
            seq.known += len(chain.position)
            seq.step += 1
            seq.chain = None

    def _close_group(self, seq: MARSequence) -> None:
        self.slots.give(seq.kept)
        seq.kept = []

    # -- results

    def snapshot(self, seq: Sequence) -> Snapshot:
        return Snapshot.of(own(seq))

    @torch.inference_mode()
    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        """Where nothing is known yet the latents are 0, their mean."""
        shots = [cast(Snapshot, shot) for shot in snapshots]
        made = self._decode([shot.tokens for shot in shots])
        for artifact, shot in zip(made, shots, strict=True):
            artifact.extra.update(shot.extra)
        return made

    @torch.inference_mode()
    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        made = self._decode([own(seq).tokens for seq in seqs])
        for seq, artifact in zip(seqs, made, strict=True):
            own(seq).finished = True
            if seq.request.partials:
                artifact.extra.update(self.snapshot(seq).extra)
        return made

    def _decode(self, tokens: list[Tensor]) -> list[Artifact]:
        stacked = torch.stack(tokens)
        images = self.tokenizer.decode_batched(unpatchify(stacked, self.config.patch, self.config.grid))
        pixels = (images * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [Artifact(np.ascontiguousarray(p), t) for p, t in zip(pixels, stacked.cpu().numpy(), strict=True)]

    def memory(self, request: GenerationRequest) -> int:
        config, sampling = self.config, request.sampling
        branches = 2 if sampling.guidance_scale != 1.0 else 1
        reuses = sampling.reuse > 0 or (request.plan is not None and request.plan.reuse > 0)
        width = max(config.encoder_dim, config.decoder_dim) * (config.mlp_ratio + 8)
        stacks = branches * config.slots * int(width)
        chains = branches * config.length * config.head_width * (3 * config.head_depth + 10)
        state = config.length * config.token_channels * 4
        return request.n * (4 * (stacks + chains + state) + (self.slots.branch_bytes * branches if reuses else 0))

    # -- changing, moving, ending

    def at_boundary(self, seq: Sequence) -> bool:
        return own(seq).full_next and own(seq).chain is None

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        seq = own(seq)
        if not self.at_boundary(seq):
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
        seq.scales = self._scales(seq.request, seq.plan)

    def save(self, seq: Sequence) -> bytes:
        """The order follows from the seed, what is known from the order and the step."""
        seq = own(seq)
        if not self.at_boundary(seq):
            raise ValueError("a state may be saved only between groups")
        state = {
            "step": seq.step,
            "plan": str(seq.plan),
            "encoded": seq.encoded,
            "tokens": seq.tokens.cpu().numpy().tobytes(),
            "written": seq.written.cpu().numpy().tobytes(),
        }
        return cast(bytes, msgpack.packb(state))

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        saved = msgpack.unpackb(state)
        unknown = unknown_tokens(request, self.spec)[sample]
        seq = self._place(request, sample, Plan.parse(saved["plan"]), unknown)
        seq.step, seq.encoded = saved["step"], saved["encoded"]
        seq.known += sum(seq.plan.reveals[: seq.step])
        tokens = np.frombuffer(saved["tokens"], dtype=np.float32).reshape(tuple(seq.tokens.shape))
        seq.tokens = torch.from_numpy(tokens.copy()).to(self.device)
        seq.written = torch.from_numpy(np.frombuffer(saved["written"], dtype=np.int16).copy()).to(self.device)
        return seq

    def release(self, seq: Sequence) -> None:
        self._close_group(own(seq))
