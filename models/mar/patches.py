"""Latent maps <-> tokens."""

from torch import Tensor


def patchify(latents: Tensor, patch: int) -> Tensor:
    """Latents [B, c, H, W] -> tokens [B, L, c*p*p], row-major over patches, within a token (channel, row, column)."""
    cells = latents.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # [B, c, h, p, w, p]
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpatchify(tokens: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Tokens [B, L, c*p*p] -> latents [B, c, h*p, w*p]; the inverse of `patchify`."""
    cells = tokens.unflatten(2, (-1, patch, patch)).unflatten(1, grid)  # [B, h, w, c, p, p]
    return cells.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
