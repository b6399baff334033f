"""What every tokenizer is trained on: pictures that come out like they went in, also to a late discriminator."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tokenizers.base import Tokenizer
from training.data.images import ImageSet, to_bytes, to_unit
from training.objectives.discriminator import hinge_generator, hinge_real_fake
from training.objectives.perceptual import PerceptualNet, perceptual_distance
from training.objectives.task import Loss, StepContext
from training.pictures import grid
from training.settings import ReconstructionSettings


class Reconstruction:
    """The terms that compare pictures. `perceptual` is frozen; None leaves that term out."""

    def __init__(
        self, settings: ReconstructionSettings, discriminator: nn.Module, perceptual: PerceptualNet | None
    ) -> None:
        self.settings, self.discriminator, self.perceptual = settings, discriminator, perceptual

    def terms(self, context: StepContext, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Weighted losses of float32 images [B, C, H, W] against the originals."""
        s = self.settings
        terms = {"l1": s.l1 * F.l1_loss(fake, real), "l2": s.l2 * F.mse_loss(fake, real)}
        if self.perceptual is not None:
            terms["perceptual"] = s.perceptual * perceptual_distance(self.perceptual, fake, real)
        if self.adversarial(context):
            terms["adversarial"] = s.adversarial * hinge_generator(self.discriminator(fake))
        return terms

    def adversarial(self, context: StepContext) -> bool:
        """Whether the discriminator takes part in this step."""
        return self.settings.adversarial > 0 and context.step >= self.settings.adversarial_from * context.steps

    def judged(self, context: StepContext, fake: Tensor, real: Tensor) -> Iterator[Loss]:
        """The discriminator's own loss, once it takes part."""
        if self.adversarial(context):
            loss = hinge_real_fake(self.discriminator(real), self.discriminator(fake.detach()))
            yield Loss("discriminator", loss, {"discriminator": loss})


def total(terms: dict[str, Tensor]) -> Tensor:
    """The sum of scalar losses."""
    return torch.stack(list(terms.values())).sum()


@torch.no_grad()
def before_and_after(tokenizer: Tokenizer, data: ImageSet) -> Tensor:
    """Pairs of rows: originals above their reconstructions, uint8 [C, H, W]."""
    real = to_unit(data.images[:32].to(next(tokenizer.parameters()).device))
    fake = tokenizer.decode(tokenizer.encode(real))
    lines = [part for pair in zip(real.split(16), fake.split(16), strict=True) for part in pair]
    return grid(to_bytes(torch.cat(lines)).cpu(), 16)
