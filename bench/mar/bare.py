"""What one writes without an engine: MAR's sampling loop for one picture, straight over the network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoding.plan import grouped
from models.mar.chain import Head
from models.mar.diffusion import Process
from models.mar.network import MAR
from models.mar.patches import unpatchify
from models.mar.schedule import guidance_scales, reveal_counts
from models.mar.transformer import Attend
from models.spec import Sampling
from models.tokenizers.kl import KLAutoencoder

Noise = Callable[[Tensor, int], Tensor]  # (positions [n], 0 at a chain's start, then 1 + s) -> [n, C]


@dataclass(frozen=True)
class Level:
    """One reverse step: what the head knows of its timestep [W], and the numbers of `Process.columns`."""

    time: Tensor
    x0_of_x: float
    x0_of_noise: float
    mean_of_x0: float
    mean_of_x: float
    low: float
    high: float
    noisy: float


class BareLoop:
    """The algorithm of arXiv 2406.11838 with dense tensors, guidance as a batch of two, order and noise from torch.

    Each step passes buffer and known tokens through the encoder, all places through the decoder, and the places that it
    reveals through the chain. Nothing is computed twice: timesteps are embedded once per picture, tokens when they are
    made, conditions once per chain.
    """

    def __init__(self, network: MAR, head: Head, tokenizer: KLAutoencoder) -> None:
        self.network = network
        self.head = head
        self.tokenizer = tokenizer
        self.config = network.config
        self.device = network.mask_token.device
        self.dtype = network.mask_token.dtype

    @torch.inference_mode()
    def generate(self, label: int, sampling: Sampling) -> Tensor:
        """One image [C, H, W] in [0, 1]."""
        tokens = self.tokens(label, sampling, torch.randperm(self.config.length, device=self.device), self._randn)
        latents = unpatchify(tokens.unsqueeze(0), self.config.patch, self.config.grid)
        [image] = self.tokenizer.pixels(latents / self.tokenizer.config.scaling_factor).clamp(0.0, 1.0)
        return image

    @torch.inference_mode()
    def tokens(self, label: int, sampling: Sampling, order: Tensor, noise: Noise) -> Tensor:
        """[L, C], revealed in `order` [L]."""
        config, network = self.config, self.network
        plan = grouped(reveal_counts(sampling.schedule, config.length, sampling.num_inference_steps), 0, 0)
        scales = guidance_scales(plan, config.length, sampling.guidance_scale, sampling.guidance_schedule)
        branches = [label, config.null_class] if sampling.guidance_scale != 1.0 else [label]
        conditions = network.condition(torch.tensor(branches, device=self.device))  # [B, D]
        chain = self._chain(sampling.diffusion_steps or config.diffusion_steps)
        tokens = torch.zeros(config.length, config.token_channels, device=self.device)
        embedded = conditions.new_zeros(config.length, config.encoder_dim)
        known = 0
        for count, scale in zip(plan.reveals, scales, strict=True):
            wanted = order[known : known + count]
            z = self._features(conditions, embedded, order[:known], wanted)
            made = self._reverse(z, chain, wanted, scale, sampling.temperature, noise)
            tokens[wanted] = made
            embedded[wanted] = network.token_in(made.to(self.dtype))
            known += count
        return tokens

    def _features(self, conditions: Tensor, embedded: Tensor, known: Tensor, wanted: Tensor) -> Tensor:
        """z [B * n, D] of the places `wanted` [n], branch after branch."""
        network, size, buffer = self.network, len(conditions), self.config.buffer
        inside = torch.cat([torch.arange(buffer, device=self.device), known + buffer])
        front = conditions.unsqueeze(1).expand(-1, buffer, -1)
        rows = torch.cat([front, embedded[known].expand(size, -1, -1)], dim=1)  # [B, r, D]
        rows = network.token_norm(rows + network.encoder_positions[inside])
        encoded = network.encoder_norm(network.encoder(rows.flatten(0, 1), _dense(size)))
        places = network.mask_token.repeat(size, self.config.slots, 1)
        places[:, inside] = network.decoder_in(encoded).unflatten(0, (size, -1))
        decoded = network.decoder((places + network.decoder_positions).flatten(0, 1), _dense(size))
        picked = decoded.unflatten(0, (size, -1))[:, wanted + buffer]
        return (network.decoder_norm(picked) + network.head_positions[wanted]).flatten(0, 1)

    def _reverse(
        self, z: Tensor, chain: list[Level], wanted: Tensor, scale: float, temperature: float, noise: Noise
    ) -> Tensor:
        """x [n, C] at the end of the chain; z [B * n, D]. Guidance steers the predicted noise alone."""
        condition, count = self.head.condition(z), len(wanted)
        branches = len(z) // count
        x = noise(wanted, 0)
        for at, level in enumerate(chain, start=1):
            rows = x.to(self.dtype).repeat(branches, 1)
            out = self.head.denoise(rows, condition + level.time).float()
            predicted, variance = out[:count].chunk(2, dim=-1)
            if branches == 2:
                free = out[count:, : x.shape[1]]
                predicted = free + scale * (predicted - free)
            x0 = level.x0_of_x * x - level.x0_of_noise * predicted
            x = level.mean_of_x0 * x0 + level.mean_of_x * x
            if level.noisy:
                share = (variance + 1.0) / 2.0
                spread = torch.exp(0.5 * (share * level.high + (1.0 - share) * level.low))
                x = x + temperature * spread * noise(wanted, at)
        return x

    def _chain(self, steps: int) -> list[Level]:
        """The levels of a chain from noise to token."""
        process = Process.of(self.config.train_steps, steps)
        times = self.head.time(process.timesteps.to(self.device))  # [S, W]
        return [Level(time, *row) for time, row in zip(times, process.columns.tolist(), strict=True)][::-1]

    def _randn(self, wanted: Tensor, step: int) -> Tensor:
        return torch.randn(len(wanted), self.config.token_channels, device=self.device)


def _dense(size: int) -> Attend:
    """Attention of `size` branches of equal length."""

    def attend(block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(0, (size, -1)).transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)

    return attend
