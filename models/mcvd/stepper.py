"""Network calls of any clips side by side: each at its own block, call, sampler and task."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from models.decoding.failure import NotFinite
from models.mcvd.clip import Begun, Block, Clip
from models.mcvd.diffusion import Levels
from models.mcvd.forward import predict
from models.mcvd.network import MCVD
from models.mcvd.noise import START, CounterFrameNoise, FrameNoise
from models.mcvd.paste import paste
from models.mcvd.samplers import SamplerTables, advance, estimate


class ClipStepper:
    """A network and its samplers. A clip alternates between `begin` and as many `step`s as its sampler has calls.

    Both compute, then commit: when they raise, no clip has changed. `noise` is injected by parity tests, `probe` sees
    what the network said, [N, F * C, S, S].
    """

    def __init__(self, network: MCVD, noise: FrameNoise | None = None, device: torch.device | str = "cpu") -> None:
        self.network = network
        self.noise: FrameNoise = noise or CounterFrameNoise()
        self.device = device
        self.probe: Callable[[Tensor], None] | None = None
        self.tables = SamplerTables(Levels.of(network.config), device)

    @torch.inference_mode()
    def begin(self, clips: Sequence[Clip]) -> None:
        """The next block of every clip: what the network knows of the frames around it, and the noise it is made of."""
        shown = [clip.shown.to(self.device) for clip in clips]
        conditions = [
            self.network.condition(frames.unsqueeze(0), torch.tensor([clip.past_shown], device=self.device))
            for clip, frames in zip(clips, shown, strict=True)
        ]
        starts = self._normal(clips, [START] * len(clips))
        for clip, frames, condition, start in zip(clips, shown, conditions, starts, strict=True):
            known = clip.known_next
            clip.shown = frames
            begun = clip.begun or Begun(start, 0)
            x = begun.x.to(self.device)
            clip.block = Block(condition, x, torch.zeros_like(x), known and known.to(self.device), begun.call)
            clip.begun = None

    @torch.inference_mode()
    def step(self, clips: Sequence[Clip]) -> None:
        """The next network call of every clip, all of which have begun a block; its last call ends a block."""
        blocks = [cast(Block, clip.block) for clip in clips]
        spans = [self.tables.rows(clip.sampler) for clip in clips]
        rows = torch.tensor([span[block.call] for span, block in zip(spans, blocks, strict=True)], device=self.device)
        c = self.tables.coefficients(rows)
        x = torch.stack([block.x for block in blocks])
        noise = predict(self.network, x, self.tables.labels[rows], [block.condition for block in blocks])
        x0 = estimate(c, x, noise)
        draw = self._draws(clips, blocks, c.spread.flatten().tolist())
        x = advance(c, x, noise, x0, draw)
        fine = x.isfinite().flatten(1).all(dim=1)
        if not bool(fine.all()):
            raise NotFinite((~fine).nonzero().flatten().tolist())
        if self.probe is not None:
            self.probe(noise)
        for at, (clip, block) in enumerate(zip(clips, blocks, strict=True)):
            row = x[at] if block.known is None else paste(x[at], block.known, c.kept[at], draw[at])
            if block.call + 1 == len(spans[at]):
                clip.end_block(row)
            else:
                clip.block = replace(block, x=row, estimate=x0[at], call=block.call + 1)

    def run(self, clips: Sequence[Clip]) -> None:
        """To the last frame, all in shared calls."""
        while running := [clip for clip in clips if not clip.done]:
            if waiting := [clip for clip in running if clip.block is None]:
                self.begin(waiting)
            self.step(running)

    def _draws(self, clips: Sequence[Clip], blocks: Sequence[Block], spread: Sequence[float]) -> Tensor:
        """[N, F * C, S, S]: normal where a row adds noise to itself or to known pixels, zeros elsewhere."""
        drawn = torch.zeros_like(torch.stack([block.x for block in blocks]))
        noisy = [at for at, block in enumerate(blocks) if spread[at] > 0.0 or block.known is not None]
        if noisy:
            drawn[noisy] = self._normal([clips[at] for at in noisy], [1 + blocks[at].call for at in noisy])
        return drawn

    def _normal(self, clips: Sequence[Clip], calls: Sequence[int]) -> Tensor:
        config = self.network.config
        key, block, call = (
            torch.tensor(values, device=self.device)
            for values in ([clip.key for clip in clips], [clip.index for clip in clips], calls)
        )
        return self.noise.normal(key, block, call, (config.block_channels, config.resolution, config.resolution))
