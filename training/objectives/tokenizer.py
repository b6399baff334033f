"""The VQGAN objective: reconstruction, perceptual, codebook, commitment and a late adversarial term."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from models.tokenizers.vqgan import VQGAN
from training.data.images import ImageSet, to_unit
from training.objectives.discriminator import PatchDiscriminator
from training.objectives.perceptual import PerceptualNet
from training.objectives.reconstruction import Reconstruction, before_and_after, total
from training.objectives.task import Loss, StepContext
from training.settings import TokenizerSettings


class CodeUsage(nn.Module):
    """How often each code was chosen of late: shares, averaged over about a hundred steps."""

    shares: Tensor
    counts: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.full((codes,), 1.0 / codes))
        self.register_buffer("counts", torch.zeros(codes), persistent=False)

    def count(self, ids: Tensor) -> None:
        """Codes of one share of a batch."""
        self.counts += torch.bincount(ids.flatten(), minlength=len(self.counts))

    def update(self) -> None:
        """After a step: what all shares of all processes have counted."""
        counts = reduce(self.counts, "sum")
        self.shares.lerp_(counts / counts.sum(), 0.02)
        self.counts.zero_()

    def dead(self, below: float) -> Tensor:
        """Codes used less than `below` times as often as an even use would."""
        return self.shares * len(self.shares) < below

    def perplexity(self) -> float:
        return float(torch.special.entr(self.shares / self.shares.sum()).sum().exp())


class TokenizerTask:
    """Trains a VQGAN on images. `perceptual` is frozen; None leaves that term out."""

    parts: tuple[str, ...] = ("tokenizer", "discriminator")
    undecayed: tuple[str, ...] = ()

    def __init__(
        self,
        tokenizer: VQGAN,
        data: ImageSet,
        settings: TokenizerSettings,
        perceptual: PerceptualNet | None,
    ) -> None:
        self.data, self.settings = data, settings
        channels = tokenizer.config.in_channels
        self.modules = nn.ModuleDict(
            {
                "tokenizer": tokenizer,
                "discriminator": PatchDiscriminator(channels),
                "usage": CodeUsage(tokenizer.config.codebook_size),
            }
        )
        self.tokenizer = tokenizer
        self.pictures = Reconstruction(settings, self.modules["discriminator"], perceptual)
        self.usage: CodeUsage = self.modules["usage"]  # type: ignore[assignment]
        self.features = torch.empty(0)  # the last step's encoder rows, for restarts

    @property
    def count(self) -> int:
        return len(self.data)

    def compile(self) -> None:
        for module in (self.tokenizer.encoder, self.tokenizer.decoder, self.modules["discriminator"]):
            module.compile()

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """uint8 images [B, C, H, W]."""
        return (self.data.images[rows[mine]],)

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """The tokenizer's loss, then - once the adversarial term is on - the discriminator's."""
        s, tokenizer = self.settings, self.tokenizer
        device = tokenizer.quantize.embedding.weight.device
        real = to_unit(context.data[0].to(device, non_blocking=True))
        with torch.set_grad_enabled(not s.decoder_only):
            features = tokenizer.encode_features(real).float()
        if context.step == context.part == 0 and not s.decoder_only:
            self._seed_codes(features, context.generator)
        ids, chosen = tokenizer.quantize_features(features)
        rows = tokenizer.embed(ids, (features.shape[2], features.shape[3]))
        fake = tokenizer.decode_features(chosen).float()
        terms = self.pictures.terms(context, fake, real)
        if not s.decoder_only:
            terms["codebook"] = s.codebook * F.mse_loss(rows, features.detach())
            terms["commitment"] = s.commitment * F.mse_loss(features, rows.detach())
        self.usage.count(ids)
        self.features = features.detach()
        yield Loss("tokenizer", total(terms), terms)
        yield from self.pictures.judged(context, fake, real)

    def after_step(self, context: StepContext) -> dict[str, float]:
        """Move dead codes onto encoder outputs of this batch, so that the codebook stays in use."""
        s, step = self.settings, context.step + 1
        self.usage.update()
        if step % s.restart_every == 0:
            dead = self.usage.dead(s.restart_below)
            if step <= s.restart_until * context.steps and not s.decoder_only:
                self._move_codes(dead, self.features, context.generator)
                self.usage.shares[dead] = 1.0 / len(dead)
            return {"dead_codes": float(dead.sum()), "perplexity": self.usage.perplexity()}
        return {}

    def _seed_codes(self, features: Tensor, generator: torch.Generator) -> None:
        """Start the codebook from encoder outputs of the first batch."""
        every = torch.ones(self.tokenizer.config.codebook_size, dtype=torch.bool, device=features.device)
        self._move_codes(every, features.detach(), generator)

    def _move_codes(self, which: Tensor, features: Tensor, generator: torch.Generator) -> None:
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)  # [B*h*w, z]
        weight = self.tokenizer.quantize.embedding.weight
        picks = torch.randint(len(rows), (len(weight),), generator=generator)
        jitter = 0.01 * rows.std() * torch.randn(weight.shape, generator=generator).to(rows.device)
        moved = torch.where(which[:, None], rows[picks.to(rows.device)] + jitter, weight.data)
        weight.data.copy_(broadcast(moved))

    def picture(self, network: nn.Module) -> Tensor:
        """Pairs of rows: originals above their reconstructions."""
        assert isinstance(network, VQGAN)
        return before_and_after(network, self.data)
