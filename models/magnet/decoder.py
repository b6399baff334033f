"""MAGNeT behind the `IterativeDecoder` seam: admission, plans, and the works of a sequence's life.

ENCODE reads the prompt, and the tokens of an upload; a STEP is one forward for sequences at any codebook, step and
length; FINISH and PREVIEW pass the codec, a few sounds at a time.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import cast

import msgpack
import numpy as np
import torch
from torch import Tensor

from models.decoder import Artifact, Condition, GenerationRequest, Kind, PoisonedRows, Sequence, Work
from models.decoding.failure import NotFinite
from models.decoding.noise import Noise, sequence_key
from models.layers.linear import pack_linears
from models.magnet.admission import check_request, decoding_of, frames_of, known_frames, started_frames
from models.magnet.companion import Companion
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.magnet.previews import Snapshot, given_of
from models.magnet.sample import Sample
from models.magnet.sequence import MAGNeTSequence, own, planned, shortened
from models.magnet.stepper import Stepper
from models.magnet.text import TextSource
from models.magnet.twin import Beginning
from models.spec import DecoderSpec, Sound
from models.tokenizers.codec import Codec

FLOAT = 4
CONTEXT = 50
JOIN = 0.02  # seconds


def _context(grid: Tensor) -> int:
    """Tokens before and behind a loop [k, T] that its codec hears, too."""
    return min(CONTEXT, grid.shape[1])


def _circled(grid: Tensor) -> Tensor:
    around = _context(grid)
    return torch.cat([grid[:, -around:], grid, grid[:, :around]], dim=1)


def _joined(wave: np.ndarray, cut: int, rate: int) -> np.ndarray:
    """A loop [N, C] without the `cut` samples around it: it begins with what follows its end, and leads over into what
    it was, since a codec may hear further than its context.
    """
    if not cut:
        return wave
    kept, behind = wave[cut:-cut].copy(), wave[len(wave) - cut :]
    width = min(round(JOIN * rate), cut, len(kept))
    ramp = ((np.arange(width, dtype=np.float32) + 1.0) / (width + 1.0))[:, None]
    kept[:width] = behind[:width] + ramp * (kept[:width] - behind[:width])
    return kept


@dataclass(frozen=True)
class Asked:
    """Of which sequence of a batch each row of logits is, [N]."""

    sequence: Tensor


Probe = Callable[[Seq[Sequence], Asked, Tensor], None]  # sequences, rows, guided logits [N, C]


class MAGNeTDecoder:
    """A MAGNeT, its codec and its text encoder; `noise` is injected by parity tests, `probe` sees every step."""

    def __init__(
        self,
        spec: DecoderSpec,
        network: MAGNeT,
        codec: Codec,
        text: TextSource,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        noise: Noise | None = None,
        companion: Companion | None = None,
    ) -> None:
        self.spec = spec
        self.device, self.dtype = device, dtype
        self.config = network.config
        self.sound = cast(Sound, spec.sound)
        self.network = network.to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.codec = codec.to(device).eval().requires_grad_(False)
        self.text = text
        self.probe: Probe | None = None
        if device == "cpu" and torch.backends.mkldnn.is_available():
            pack_linears(self.network)
        self.companion = companion
        self.stepper = Stepper(self.network, noise, None if companion is None else companion.judge)

    # -- admission

    def admit(self, request: GenerationRequest) -> list[Sequence]:
        check_request(request, self.spec, self.config, self.sound)
        decoding = decoding_of(request.sampling, self.spec, self.config)
        return [self._place(request, sample, decoding) for sample in range(request.n)]

    def _place(self, request: GenerationRequest, sample: int, decoding: Decoding) -> MAGNeTSequence:
        frames = frames_of(request, self.config, self.sound)
        known = known_frames(request, frames, self.config, self.sound)
        state = Sample.begin(
            self.config,
            decoding,
            sequence_key(request.seed, sample),
            given=torch.zeros(self.config.codebooks, frames, dtype=torch.long),
            known=known,
            length=frames,
            trimmed=request.waveform is None,
        )
        units, spans = state.spans.units(state.known), state.spans.units(torch.zeros_like(state.known))
        return MAGNeTSequence(
            request=request,
            sample=sample,
            plan=planned(decoding, units),
            known=self.config.codebooks * (spans - units),
            total=self.config.codebooks * spans,
            state=state,
            prompted=request.condition is None,
            encoded=request.waveform is None,
            beginning=self._beginning(request, state),
        )

    def _beginning(self, request: GenerationRequest, state: Sample) -> Beginning | None:
        frames = started_frames(request, self.config)
        if not frames or self.companion is None:
            return None
        return self.companion.beginning(request, state.key, frames)

    # -- works

    def next_work(self, seq: Sequence) -> Work | None:
        seq = own(seq)
        if seq.finished:
            return None
        if not seq.prompted:
            return Work(Kind.ENCODE, "prompt", 1)
        if not seq.encoded:
            return Work(Kind.ENCODE, "upload", 1)
        if seq.beginning is not None:
            return Work(Kind.START, "beginning", seq.beginning.branches)
        if seq.step == seq.plan.steps:
            return Work(Kind.FINISH, "finish", 1)
        return Work(Kind.STEP, "step", seq.state.branches * seq.state.rows)

    def preview_work(self, seq: Sequence) -> Work:
        return Work(Kind.PREVIEW, "preview", 1)

    @torch.inference_mode()
    def run(self, work: Work, seqs: Seq[Sequence]) -> None:
        mine = [own(seq) for seq in seqs]
        if work.kind is Kind.STEP:
            self._step(mine)
        elif work.lane == "prompt":
            self._read(mine)
        elif work.lane == "beginning":
            self._begin(mine)
        else:
            self._encode(mine)

    def _read(self, seqs: list[MAGNeTSequence]) -> None:
        """Samples of one request share what its prompt becomes."""
        memories: dict[int, tuple[Tensor | None, Tensor | None]] = {}
        for seq in seqs:
            if id(seq.request) not in memories:
                memories[id(seq.request)] = self._memories(seq)
        for seq in seqs:
            seq.state.text, seq.state.judged_text = memories[id(seq.request)]
            if seq.beginning is not None:
                seq.beginning.text = seq.state.judged_text
            seq.prompted = True

    def _memories(self, seq: MAGNeTSequence) -> tuple[Tensor | None, Tensor | None]:
        """What the network, and its companion where it is asked, make of a prompt."""
        condition = cast(Condition, seq.request.condition)
        states = self.text.encode(condition)
        own = None if states is None else self.network.memory(self.network.condition(states.to(self.dtype)))
        if self.companion is None or not (seq.state.decoding.rescoring or seq.beginning):
            return own, None
        return own, self.companion.memory(condition)

    def _begin(self, seqs: list[MAGNeTSequence]) -> None:
        """A row of what the twin begins; it hands over what is done."""
        assert self.companion is not None
        sounds = [cast(Beginning, seq.beginning) for seq in seqs]
        try:
            self.companion.twin.step(sounds)
        except NotFinite as error:
            raise PoisonedRows([seqs[at] for at in error.rows]) from None
        for seq, sound in zip(seqs, sounds, strict=True):
            if sound.done:
                seq.state.ids[:, : sound.ids.shape[1]] = sound.ids
                seq.beginning = None

    def _encode(self, seqs: list[MAGNeTSequence]) -> None:
        requests = {id(seq.request): seq.request for seq in seqs}
        tokens = {key: self._tokens(request) for key, request in requests.items()}
        for seq in seqs:
            given = tokens[id(seq.request)][:, : seq.state.ids.shape[1]]
            known = seq.state.known[: given.shape[1]]
            seq.state.ids[:, : given.shape[1]][:, known] = given[:, known]
            seq.encoded = True

    def _tokens(self, request: GenerationRequest) -> Tensor:
        """[K, T] of the upload."""
        if request.tokens is not None:
            return torch.from_numpy(request.tokens.astype(np.int64))
        wave = torch.from_numpy(cast(np.ndarray, request.waveform).T.copy())
        return self.codec.encode(wave.unsqueeze(0).to(self.device))[0].cpu()

    def _step(self, seqs: list[MAGNeTSequence]) -> None:
        parts: list[Tensor] = []
        self.stepper.probe = None if self.probe is None else lambda turn, logits: parts.append(logits)
        try:
            self.stepper.step([seq.state for seq in seqs])
        except NotFinite as error:
            raise PoisonedRows([seqs[at] for at in error.rows]) from None
        if self.probe is not None:
            counts = torch.tensor([len(part) for part in parts])
            self.probe(seqs, Asked(torch.arange(len(seqs)).repeat_interleave(counts)), torch.cat(parts))
        for seq in seqs:
            seq.known += seq.plan.reveals[seq.step]
            seq.step += 1

    # -- previews and results

    def snapshot(self, seq: Sequence) -> object:
        return Snapshot.of(own(seq))

    @torch.inference_mode()
    def preview(self, snapshots: Seq[object]) -> list[Artifact]:
        mine = cast(Seq[Snapshot], snapshots)
        waves = self._waves([shot.ids[: shot.audible] for shot in mine], [shot.request for shot in mine])
        return [Artifact(wave, shot.ids.numpy(), dict(shot.extra)) for wave, shot in zip(waves, mine, strict=True)]

    @torch.inference_mode()
    def finish(self, seqs: Seq[Sequence]) -> list[Artifact]:
        mine = [own(seq) for seq in seqs]
        waves = self._waves([seq.state.ids for seq in mine], [seq.request for seq in mine])
        artifacts = []
        for seq, wave in zip(mine, waves, strict=True):
            seq.finished = True
            extra = Snapshot.of(seq).extra if seq.request.partials else {}
            artifacts.append(Artifact(wave, seq.state.ids.numpy().copy(), dict(extra)))
        return artifacts

    def _waves(self, ids: list[Tensor], requests: list[GenerationRequest]) -> list[np.ndarray]:
        """Token grids [k, T] -> samples [N, C]; grids of equal shape share calls. A loop is heard in its midst."""
        loops = [one.loop for one in requests]
        grids = [_circled(grid) if loop else grid for grid, loop in zip(ids, loops, strict=True)]
        heeded = [given_of(one) if self.codec.heeds and not one.loop else None for one in requests]
        alike: dict[object, list[int]] = {}
        for at, (grid, given) in enumerate(zip(grids, heeded, strict=True)):
            alike.setdefault((tuple(grid.shape), None if given is None else at), []).append(at)
        found: dict[int, np.ndarray] = {}
        for which in alike.values():
            waves = self.codec.decode(torch.stack([grids[at] for at in which]).to(self.device), heeded[which[0]])
            found |= dict(zip(which, waves.transpose(1, 2).cpu().numpy(), strict=True))
        cuts = [_context(grid) * self.sound.hop if loop else 0 for grid, loop in zip(ids, loops, strict=True)]
        return [_joined(found[at], cut, self.sound.rate) for at, cut in enumerate(cuts)]

    # -- resources

    def memory(self, request: GenerationRequest) -> int:
        """Text and rows of the network; what the codec works with."""
        config, frames = self.config, frames_of(request, self.config, self.sound)
        words = 1 + (len(request.condition) if isinstance(request.condition, str | tuple) else 0)
        text = 2 * config.depth * words * config.dim
        rows = 2 * frames * (config.dim * (8 + 2 * config.mlp_ratio) + config.codebook_size)
        attention = 2 * config.heads * frames * frames
        heard = frames + (2 * CONTEXT if request.loop else 0)
        sound = heard * self.sound.hop * self.codec.config.floats_a_sample  # a lone one passes the codec twice
        sampling = request.sampling
        kept = 4 * config.depth * config.dim * frames if sampling.reuse else 0
        more = 0
        if self.companion is not None and (sampling.head_start or sampling.rescoring):
            more = request.n * self.companion.bytes_for(frames, words, begins=bool(sampling.head_start))
        return more + int(FLOAT * (text + request.n * (rows + attention + sound + kept)))

    def at_boundary(self, seq: Sequence) -> bool:
        """Between a cheap step and the one that it reuses there is none; what a twin began, it begins again."""
        seq = own(seq)
        return seq.step == seq.plan.steps or seq.state.full

    def shorten(self, seq: Sequence, steps_left: int) -> None:
        """Codebooks that have not begun get fewer steps."""
        seq = own(seq)
        if seq.step == seq.plan.steps:
            return
        if not seq.state.full:
            raise ValueError("a plan may be shortened only between groups")
        seq.state.decoding = shortened(seq.state.decoding, seq.step, steps_left)
        seq.plan = planned(seq.state.decoding, seq.state.spans.units(seq.state.known))

    def save(self, seq: Sequence) -> bytes:
        seq = own(seq)
        if not self.at_boundary(seq):
            raise ValueError("a state may be saved only between groups")
        state = seq.state
        saved = {
            "step": seq.step,
            "steps": state.decoding.steps,
            "encoded": seq.encoded,
            "begun": seq.beginning is None,
            "ids": state.ids.numpy().astype(np.int32).tobytes(),
            "scores": state.scores.numpy().tobytes(),
            "written": state.written.numpy().tobytes(),
        }
        return cast(bytes, msgpack.packb(saved))

    def restore(self, request: GenerationRequest, sample: int, state: bytes) -> Sequence:
        """The prompt is read again."""
        saved = msgpack.unpackb(state)
        decoding = decoding_of(request.sampling, self.spec, self.config)
        seq = self._place(request, sample, decoding.with_steps(tuple(saved["steps"])))
        own_state = seq.state
        seq.step = own_state.step = saved["step"]
        seq.encoded = saved["encoded"]
        if saved["begun"]:
            seq.beginning = None
        seq.known += sum(seq.plan.reveals[: seq.step])
        ids = np.frombuffer(saved["ids"], dtype=np.int32).astype(np.int64)
        own_state.ids = torch.from_numpy(ids).view_as(own_state.ids)
        own_state.scores = torch.from_numpy(np.frombuffer(saved["scores"], dtype=np.float32).copy())
        written = np.frombuffer(saved["written"], dtype=np.int16).copy()
        own_state.written = torch.from_numpy(written).view_as(own_state.written)
        return seq

    def release(self, seq: Sequence) -> None:
        state = own(seq).state
        state.text, state.judged_text, state.kept = None, None, ()
        own(seq).beginning = None
