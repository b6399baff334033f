"""The loss of MAGNeT."""

import torch.nn.functional as F
from torch import Tensor


def masked_loss(logits: Tensor, ids: Tensor, counted: Tensor) -> Tensor:
    """Cross entropy of logits [B, T, C] of one stream and its ids [B, T], the mean over the `counted` bool [B, T].

    All tokens of a batch weigh the same, whatever their row, time or codebook.
    """
    return F.cross_entropy(logits[counted].float(), ids[counted])
