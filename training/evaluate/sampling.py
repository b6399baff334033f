"""Many samples offline, by the decoder that the service runs: no second copy of the decoding maths."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from models.decoder import Condition, GenerationRequest, Kind
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.spec import DecoderSpec, Sampling
from models.tokenizers.base import Tokenizer
from training.data.images import to_bytes


def wrap(network: UViT, tokenizer: Tokenizer, sampling: Sampling, dtype: torch.dtype = torch.float32) -> MaskGITDecoder:
    """A decoder over copies of the two networks, for use without a checkpoint directory."""
    grid = network.config.grid
    factor = tokenizer.config.factor
    spec = DecoderSpec(
        id="in-training",
        family="maskgit",
        modality="image",
        tasks=frozenset({"generate"}),
        size=(grid[1] * factor, grid[0] * factor),
        grid=grid,
        classes=tuple(map(str, range(network.config.num_classes))),
        sampling=sampling,
        quality={},
        min_steps=1,
        max_steps=network.config.length,
        max_reuse=8,
        guidable=True,
        created=0,
        checkpoint="",
        licence="",
        noncommercial=False,
    )
    own = UViT(network.config)
    own.load_state_dict(network.state_dict())
    return MaskGITDecoder(spec, own, copy.deepcopy(tokenizer), dtype=dtype)


def condition(label: Tensor) -> Condition | None:
    """What a label of a data set asks for: a class, or the terms of a caption [W] that are not -1."""
    if label.dim() == 0:
        return int(label)
    return tuple(label[label >= 0].tolist()) or None


def sample_tokens(
    decoder: MaskGITDecoder, labels: Tensor, sampling: Sampling, seed: int, batch: int = 125
) -> Iterator[Tensor]:
    """Token grids for `labels` [N] or [N, W], in parts of `batch`: int64 [B, L] each. Sample i has seed `seed + i`."""
    for at in torch.arange(len(labels)).split(batch):
        requests = [GenerationRequest("generate", condition(labels[i]), sampling, seed + int(i)) for i in at]
        sequences = [decoder.admit(request)[0] for request in requests]
        while (work := decoder.next_work(sequences[0])) and work.kind is not Kind.FINISH:
            decoder.run(work, sequences)
        yield torch.stack([decoder.snapshot(sequence).ids for sequence in sequences])
        for sequence in sequences:
            decoder.release(sequence)


@torch.no_grad()
def sample_images(decoder: MaskGITDecoder, labels: Tensor, sampling: Sampling, seed: int, batch: int = 125) -> Tensor:
    """uint8 images [N, C, H, W] for `labels` [N]."""
    parts = sample_tokens(decoder, labels, sampling, seed, batch)
    return torch.cat([to_bytes(decoder.tokenizer.decode(ids)) for ids in parts])
