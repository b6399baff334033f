"""Learned masks: a small network guesses which tokens are hard, and those are hidden more often.

After hard patch mining (HPM, arXiv 2304.05919), for tokens: the guess is of the generator's cross-entropy relative to
the batch, from the complete token grid, and its weight grows over the run, from easy to hard.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 48


class Hardness(nn.Module):
    """Token grids -> how hard each token is to predict, in standard deviations of the loss."""

    def __init__(self, codes: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.tokens = nn.Embedding(codes, WIDTH)
        self.places = nn.Parameter(torch.zeros(1, WIDTH, *grid))
        self.layers = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU(),
            nn.Conv2d(WIDTH, 1, 1),
        )  # fmt: skip

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B, L] -> [B, L]."""
        x = self.tokens(ids).mT.unflatten(2, self.grid) + self.places
        out: Tensor = self.layers(x).flatten(1)
        return out

    def loss(self, ids: Tensor, masked: Tensor, entropies: Tensor) -> Tensor:
        """Squared error at the hidden tokens: masked bool [B, L], entropies [M], the generator's loss on them.

        Relative to these very tokens: parts of a batch have other means than the whole, and do not train quite like it.
        """
        wanted = (entropies - entropies.mean()) / (entropies.std(correction=0) + 1e-6)
        return F.mse_loss(self(ids)[masked].float(), wanted)

    @torch.no_grad()
    def prefer(self, order: Tensor, ids: Tensor, weight: float) -> Tensor:
        """Uniform scores [B, L] -> scores by which hard positions come first, the more so the larger `weight`."""
        gumbel = -torch.log(-torch.log(order.clamp(1e-6, 1 - 1e-6)))
        return gumbel - weight * self(ids).float()
