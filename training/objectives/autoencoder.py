"""The KL autoencoder's objective (arXiv 2112.10752): pictures from drawn latents that stay near a unit Gaussian."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.tokenizers.kl import KLAutoencoder
from training.data.images import ImageSet, to_unit
from training.objectives.discriminator import PatchDiscriminator
from training.objectives.perceptual import PerceptualNet
from training.objectives.reconstruction import Reconstruction, before_and_after, total
from training.objectives.task import Loss, StepContext
from training.settings import AutoencoderSettings


class AutoencoderTask:
    """Trains a KL autoencoder on images. `perceptual` is frozen; None leaves that term out."""

    parts: tuple[str, ...] = ("tokenizer", "discriminator")
    undecayed: tuple[str, ...] = ()

    def __init__(
        self,
        tokenizer: KLAutoencoder,
        data: ImageSet,
        settings: AutoencoderSettings,
        perceptual: PerceptualNet | None,
    ) -> None:
        self.tokenizer, self.data, self.settings = tokenizer, data, settings
        discriminator = PatchDiscriminator(tokenizer.config.in_channels)
        self.modules = nn.ModuleDict({"tokenizer": tokenizer, "discriminator": discriminator})
        self.pictures = Reconstruction(settings, discriminator, perceptual)

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
        """The autoencoder's loss, then - once the adversarial term is on - the discriminator's."""
        s, tokenizer = self.settings, self.tokenizer
        real = to_unit(context.data[0].to(next(tokenizer.parameters()).device, non_blocking=True))
        with torch.set_grad_enabled(not s.decoder_only):
            mean, log_variance = tokenizer.distribution(real)
        draws = torch.randn(context.size, *mean.shape[1:], generator=context.generator)[context.mine]
        latents = mean + (0.5 * log_variance).exp() * draws.to(mean.device)
        fake = tokenizer.pixels(latents).float()
        terms = self.pictures.terms(context, fake, real)
        if not s.decoder_only:
            terms["kl"] = s.kl * divergence(mean, log_variance)
        yield Loss("tokenizer", total(terms), terms)
        yield from self.pictures.judged(context, fake, real)

    def after_step(self, context: StepContext) -> dict[str, float]:
        return {}

    def picture(self, network: nn.Module) -> Tensor:
        """Pairs of rows: originals above their reconstructions."""
        assert isinstance(network, KLAutoencoder)
        return before_and_after(network, self.data)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, log_variance) || N(0, 1)) in nats, the mean over all elements."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


@torch.no_grad()
def latent_deviation(tokenizer: KLAutoencoder, images: Tensor) -> float:
    """The standard deviation of all drawn latents of uint8 images [N, C, H, W], unscaled.

    Computed from means and variances, without drawing: it is one number for a tokenizer and its pictures.
    """
    device = next(tokenizer.parameters()).device
    count, first, second = 0, 0.0, 0.0
    for part in images.split(250):
        mean, deviation = (x.double() for x in tokenizer.moments(to_unit(part.to(device))))
        count += mean.numel()
        first += float(mean.sum())
        second += float((mean.square() + deviation.square()).sum())
    return (second / count - (first / count) ** 2) ** 0.5
