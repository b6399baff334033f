"""Tokens inside their diffusion chains: any number, each with its own chain length, place, temperature and guidance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

import torch
from torch import Tensor, nn

from models.decoding.sampling import guide
from models.layers.linear import MIN_ROWS, pad_rows
from models.mar.diffusion import Chains, Coefficients


class Head(Protocol):
    """A diffusion head: see `DiffusionHead`, or `FusedHead`, which is faster."""

    @property
    def condition(self) -> nn.Module: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def time(self, t: Tensor) -> Tensor: ...

    def denoise(self, x: Tensor, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Chain:
    """The n tokens that one step of a sequence makes, `done` reverse steps into their chains of `length`.

    W is the head's width; conditions are `ChainStepper.condition` of z. unconditional has no rows without guidance.
    """

    key: int  # of the sequence's noise
    position: Tensor  # [n]
    x: Tensor  # [n, C] float32
    condition: Tensor  # [n, W]
    unconditional: Tensor  # [n, W] or [0, W]
    length: int
    temperature: float
    scale: float
    bound: float = inf  # of estimates of the token
    done: int = 0

    @property
    def left(self) -> int:
        """Reverse steps that remain."""
        return self.length - self.done

    @property
    def rows(self) -> int:
        """Of the head in one reverse step."""
        return len(self.condition) + len(self.unconditional)

    def at(self, x: Tensor, steps: int) -> "Chain":
        """The same tokens `steps` reverse steps later."""
        return replace(self, x=x, done=self.done + steps)


@dataclass(frozen=True)
class ChainRows:
    """N rows, of which G are guided."""

    row: Tensor  # [N] of the table of `Chains`
    condition: Tensor  # [N, W]
    temperature: Tensor  # [N]
    guided: Tensor  # [G] which of the N
    unconditional: Tensor  # [G, W]
    scale: Tensor  # [G]
    bound: Tensor | None = None  # [N], where estimates of the tokens are bounded


class ChainStepper:
    """The head beside its chains. What it knows of each timestep is computed once."""

    @torch.no_grad()
    def __init__(self, head: Head, train_steps: int, device: torch.device | str = "cpu") -> None:
        self.head = head
        self.device = device
        self.chains = Chains(train_steps, device)
        self.time = head.time(torch.arange(train_steps, device=device))  # [T, W]

    def condition(self, z: Tensor) -> Tensor:
        """Decoder outputs z [N, D] -> [N, W]: constant through a chain, so it is computed once for each token."""
        out: Tensor = self.head.condition(pad_rows(z))
        return out[: len(z)]

    def rows(self, chains: Sequence[Chain]) -> ChainRows:
        """The tokens of all `chains`, one chain after the other, at the reverse step that is due."""
        counts = [len(chain.position) for chain in chains]

        def each(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=self.device).repeat_interleave(
                torch.tensor(counts, device=self.device), output_size=sum(counts)
            )

        guided = each([float(len(chain.unconditional) > 0) for chain in chains]).nonzero().squeeze(-1)
        bounded = any(chain.bound < inf for chain in chains)
        return ChainRows(
            row=each([self.chains.row(chain.length, chain.left - 1) for chain in chains]).long(),
            condition=torch.cat([chain.condition for chain in chains]),
            temperature=each([chain.temperature for chain in chains]),
            guided=guided,
            unconditional=torch.cat([chain.unconditional for chain in chains]),
            scale=each([chain.scale for chain in chains])[guided],
            bound=each([chain.bound for chain in chains]) if bounded else None,
        )

    def run(self, x: Tensor, rows: ChainRows, draws: Tensor) -> Tensor:
        """Reverse steps of all rows, one after the other: x [N, C], draws [S, N, C] float32 -> x [N, C].

        Rows must have S steps left; changes nothing. Guidance steers the predicted noise; the variance stays that of
        the conditional branch. What does not depend on x is computed for all steps at once.
        """
        count, free, channels = len(x), len(rows.unconditional), x.shape[1]
        filling = rows.row.new_zeros(max(0, MIN_ROWS - count - free))
        asked = torch.cat([torch.arange(count, device=self.device), rows.guided, filling])  # [M] rows of the head
        condition = pad_rows(torch.cat([rows.condition, rows.unconditional]))  # [M, W]
        row = rows.row - torch.arange(len(draws), device=self.device).unsqueeze(-1)  # [S, N]
        times = self.chains.timesteps[row][:, asked]  # [S, M]
        levels = Levels.of(self.chains.table[row], rows.temperature, draws)
        bound = None if rows.bound is None else rows.bound.unsqueeze(-1).expand(-1, channels).contiguous()
        scale = rows.scale.unsqueeze(-1)
        for time, level in zip(times, levels.each(), strict=True):
            out = self.head.denoise(x[asked].to(self.head.dtype), self.time[time] + condition).float()
            noise, variance = out[:count].chunk(2, dim=-1)
            if free == count:
                unconditional = out[count : 2 * count, :channels]
                noise = unconditional + scale * (noise - unconditional)
            elif free:
                unconditional = out[count : count + free, :channels]
                steered = guide(noise[rows.guided], unconditional, rows.scale)
                noise = noise.index_put((rows.guided,), steered)
            x0 = level.x0_of_x * x - level.x0_of_noise * noise
            if bound is not None:
                x0 = x0.clamp(-bound, bound)
            mean = level.mean_of_x0 * x0 + level.mean_of_x * x
            x = mean + torch.exp(level.low + level.range * variance) * level.kick
        return x


@dataclass(frozen=True)
class Levels:
    """What reverse steps multiply and add, float32 [N, C] (of several, [S, N, C]): see `Coefficients`.

    The log of the spread is `low` + `range` * v with the head's v in [-1, 1]; `kick` is the noise that it scales.
    """

    x0_of_x: Tensor
    x0_of_noise: Tensor
    mean_of_x0: Tensor
    mean_of_x: Tensor
    low: Tensor
    range: Tensor
    kick: Tensor

    @classmethod
    def of(cls, table: Tensor, temperature: Tensor, draws: Tensor) -> "Levels":
        """table [S, N, 7] of `Chains`; temperature [N]; draws [S, N, C] standard normal."""
        c = Coefficients(*table.unsqueeze(-2).expand(-1, -1, draws.shape[-1], -1).unbind(-1))
        return cls(
            x0_of_x=c.x0_of_x.contiguous(),
            x0_of_noise=c.x0_of_noise.contiguous(),
            mean_of_x0=c.mean_of_x0.contiguous(),
            mean_of_x=c.mean_of_x.contiguous(),
            low=(c.low + c.high) / 4.0,
            range=(c.high - c.low) / 4.0,
            kick=c.noisy * temperature.unsqueeze(-1) * draws,
        )

    def each(self) -> Iterator["Levels"]:
        """One step after the other."""
        for parts in zip(*vars(self).values(), strict=True):
            yield Levels(*parts)
