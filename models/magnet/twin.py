"""MAGNeT's autoregressive twin: the same network over delayed streams, in which rows see those before them.

It judges what MAGNeT has drawn (rescoring), and begins sounds that MAGNeT finishes (hybrid decoding; arXiv 2401.04577,
sections 3.4 and 3.5).
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.failure import NotFinite
from models.decoding.noise import Noise, Rows
from models.decoding.sampling import guide
from models.magnet.delayed import delayed, shown, told
from models.magnet.drawing import Draws, draw
from models.magnet.kept import Kept
from models.magnet.network import MAGNeT
from models.magnet.pack import Branch, pack


@dataclass(frozen=True)
class Reading:
    """ids [K, T] that are read up to `codebook`, under a text: memory of the twin's network, or None."""

    ids: Tensor
    codebook: int
    text: Tensor | None


@dataclass(frozen=True)
class Manner:
    """How a sound is begun: the words of `Sampling`. Guidance and temperature stay what they are."""

    guidance: float
    temperature: float
    top_k: int
    top_p: float


@dataclass(eq=False)
class Beginning:
    """Of one sound: ids [K, F], the mask id where unknown; `row` is the next."""

    key: int
    ids: Tensor
    text: Tensor | None
    manner: Manner
    row: int = 0
    kept: tuple[Kept, ...] = ()

    @property
    def done(self) -> bool:
        return self.row == self.ids.shape[1] + len(self.ids) - 1

    @property
    def branches(self) -> int:
        """With the text, then without."""
        return 1 if self.text is None or self.manner.guidance == 1.0 else 2


class Twin:
    """A MAGNeT that was trained on the next row of delayed streams; on its network's device."""

    def __init__(self, network: MAGNeT, noise: Noise) -> None:
        self.network, self.noise = network, noise

    def memory(self, states: Tensor) -> Tensor:
        """What the twin makes of the states [N, C] of a text."""
        network = self.network
        return network.memory(network.condition(states.to(network.dtype)))

    @torch.inference_mode()
    def read(self, readings: Seq[Reading]) -> list[Tensor]:
        """The probability [T] of each token of one codebook, given what stands before it in the delayed streams."""
        branches = []
        for reading in readings:
            seen = reading.ids.clone()
            seen[reading.codebook + 1 :] = self.network.config.mask_id
            rows = delayed(seen, self.network.config.mask_id)
            branches.append(Branch(rows, 0, torch.arange(rows.shape[1]), reading.text, causal=True))
        found = []
        for reading, features in zip(readings, self._features(branches), strict=True):
            codebook, frames = reading.codebook, reading.ids.shape[1]
            shares = self.network.logits(features[codebook : codebook + frames], codebook).float().softmax(dim=-1)
            wanted = reading.ids[codebook].to(shares.device).unsqueeze(-1)
            found.append(shares.gather(-1, wanted).squeeze(-1).cpu())
        return found

    @torch.inference_mode()
    def step(self, sounds: Seq[Beginning]) -> None:
        """One row of each, wherever it stands, in one forward. Raises NotFinite, and none has changed."""
        mask_id = self.network.config.mask_id
        branches = []
        for sound in sounds:
            self._keep(sound)
            column = shown(sound.ids, sound.row, mask_id)
            rows = torch.full((len(column), sound.row + 1), mask_id)
            rows[:, -1] = column
            here = torch.tensor([sound.row])
            texts = (sound.text, None)[: sound.branches]
            branches += [
                Branch(rows, 0, here, text, kept, here, causal=True)
                for text, kept in zip(texts, sound.kept, strict=False)
            ]
        features = iter(self._features(branches))
        pairs = [[next(features) for _ in range(sound.branches)] for sound in sounds]
        drawn = self._draw(sounds, pairs)
        for sound, ids in zip(sounds, drawn, strict=True):
            for (codebook, frame), id in zip(_told(sound), ids.tolist(), strict=True):
                sound.ids[codebook, frame] = id
            sound.row += 1

    def _draw(self, sounds: Seq[Beginning], features: list[list[Tensor]]) -> list[Tensor]:
        """The ids that the rows tell: of each sound, in the order of its codebooks."""
        logits: dict[tuple[int, int], Tensor] = {}
        for codebook in range(self.network.config.codebooks):
            mine = [at for at, sound in enumerate(sounds) if codebook in dict(_told(sound))]
            if not mine:
                continue
            counts = [len(features[at]) for at in mine]
            found = self.network.logits(torch.cat([row for at in mine for row in features[at]]), codebook).float()
            for at, part in zip(mine, found.split(counts), strict=True):
                logits[at, codebook] = guide(part[:1], part[1:], self._scale(sounds[at])) if len(part) > 1 else part
        order = [(at, codebook, frame) for at, sound in enumerate(sounds) for codebook, frame in _told(sound)]
        rows = torch.cat([logits[at, codebook] for at, codebook, _ in order])
        if wrong := sorted({at for (at, _, _), row in zip(order, rows, strict=True) if not row.sum().isfinite()}):
            raise NotFinite(wrong)
        manners = [sounds[at].manner for at, _, _ in order]
        device = rows.device
        draws = Draws(
            temperature=torch.tensor([manner.temperature or 1.0 for manner in manners], device=device),
            top_k=torch.tensor([manner.top_k for manner in manners], device=device),
            top_p=torch.tensor([manner.top_p for manner in manners], device=device),
            greedy=torch.tensor([manner.temperature == 0.0 for manner in manners], device=device),
            narrow=any(manner.top_k or manner.top_p < 1.0 for manner in manners),
        )
        places = [codebook * sounds[at].ids.shape[1] + frame for at, codebook, frame in order]
        of = Rows(
            sequence=torch.tensor([at for at, _, _ in order], device=device),
            key=torch.tensor([sounds[at].key for at, _, _ in order], device=device),
            step=torch.tensor([sounds[at].row for at, _, _ in order], device=device),
            position=torch.tensor(places, device=device),
        )
        ids, _ = draw(rows, draws, self.noise, of)
        return list(ids.cpu().split([len(_told(sound)) for sound in sounds]))

    def _scale(self, sound: Beginning) -> Tensor:
        return torch.tensor([sound.manner.guidance], device=self.network.device)

    def _keep(self, sound: Beginning) -> None:
        """Room for the keys and values of every row."""
        network = self.network
        if len(sound.kept) < sound.branches:
            rows = torch.empty(len(sound.ids), sound.ids.shape[1] + len(sound.ids) - 1, dtype=torch.long)
            sound.kept = tuple(
                Kept.empty(network.config, rows, network.device, network.dtype) for _ in range(sound.branches)
            )

    def _features(self, branches: Seq[Branch]) -> list[Tensor]:
        """Rows behind all blocks that each branch wants."""
        packed = pack(self.network.config, branches, self.network.device)
        features = self.network.trunk(packed)
        [head] = packed.heads
        return list(features[head.rows].split(head.counts))


def _told(sound: Beginning) -> list[tuple[int, int]]:
    return told(sound.row, *sound.ids.shape)
