"""A network that predicts noise begins by passing on what it is given: nearly all of it is noise at most levels.

What is passed must be exact: at the noisiest levels frames are a hundredth of it, and whatever is lost on the way from
the first layer to the last looks like frames. The path is the outermost skip: channels in pairs of a value and its
negative go through the last SiLU unharmed, since silu(u) - silu(-u) = u.
"""

import torch

from models.mcvd.blocks import Unit
from models.mcvd.network import MCVD
from models.mcvd.norms import groups_of


@torch.no_grad()
def pass_on(network: MCVD) -> bool:
    """Set the weights of that path; False where a network has no room for it, or takes SPADE's norms."""
    config = network.config
    frames, width = config.block_channels, config.width
    group = width // groups_of(width)
    pairs = 2 * frames + (-2 * frames) % group  # channels, in whole groups of the last norm
    last = network.up[-1]
    assert isinstance(last, Unit)
    skip = last.residual.skip
    if config.spade or last.attention is not None or skip is None or 2 * pairs > 3 * width // 2 or group % 2:
        return False
    signs = torch.tensor([1.0, -1.0]).repeat(pairs // 2)
    of = torch.arange(pairs // 2).clamp(max=frames - 1).repeat_interleave(2)  # the frame of each channel
    enter, leave = network.enter.weight, network.leave.weight
    enter[:pairs] = 0.0
    enter[torch.arange(pairs), of, 1, 1] = signs
    skip.weight[:pairs] = 0.0
    skip.weight[torch.arange(pairs), skip.in_channels - width + torch.arange(pairs), 0, 0] = 1.0
    leave.zero_()
    leave[of, torch.arange(pairs), 1, 1] = signs / torch.bincount(of)[of] * 2.0
    return True
