"""Sounds made without a service: by a generator in training, and by its autoregressive twin."""

import copy

import torch
from torch import Tensor, nn

from models.decoder import GenerationRequest
from models.decoding.noise import CounterNoise, sequence_key
from models.layers.linear import pack_linears
from models.magnet.decoder import MAGNeTDecoder
from models.magnet.family import FAMILY, MAX_REUSE, PARAMETERS
from models.magnet.network import MAGNeT
from models.magnet.text import TermRows
from models.magnet.twin import Beginning, Manner, Twin
from models.spec import DecoderSpec, Sampling, Sound
from models.tokenizers.codec import Codec
from training.data.sounds import MOST_TERMS
from training.evaluate.sampling import made_together


def copied(network: nn.Module) -> MAGNeT:
    """One that decoding may change."""
    assert isinstance(network, MAGNeT)
    own = MAGNeT(network.config)
    own.load_state_dict(network.state_dict())
    return own.to(network.device).eval()


def in_training(network: nn.Module, codec: Codec, sampling: Sampling) -> MAGNeTDecoder:
    """A decoder over copies of both networks, without a checkpoint directory behind it."""
    own, of = copied(network), codec.config
    sizes = own.config
    spec = DecoderSpec(
        id="in-training",
        family=FAMILY,
        modality="audio",
        tasks=frozenset({"generate", "edit"}),
        size=(0, 0),
        grid=(sizes.codebooks, sizes.length),
        classes=(),
        most_words=MOST_TERMS,
        sampling=sampling,
        quality={},
        min_steps=sizes.codebooks,
        max_steps=400,
        max_reuse=MAX_REUSE,
        guidable=True,
        created=0,
        checkpoint="",
        licence="",
        noncommercial=False,
        parameters=PARAMETERS,
        sound=Sound(of.sample_rate, of.channels, of.hop, sizes.span, sizes.length),
    )
    return MAGNeTDecoder(spec, own, copy.deepcopy(codec), TermRows(own.terms))


def sample_sounds(
    decoder: MAGNeTDecoder, asked: list[tuple[int, ...]], sampling: Sampling, seed: int = 0, batch: int = 8
) -> Tensor:
    """Waves [N, 1, S] for the terms `asked` for; sample i has seed `seed + i`."""
    requests = [GenerationRequest("generate", terms or None, sampling, seed + at) for at, terms in enumerate(asked)]
    made = made_together(decoder, requests, batch)
    return torch.stack([torch.from_numpy(artifact.array.T.copy()) for artifact in made])


def manner_of(sampling: Sampling) -> Manner:
    return Manner(sampling.guidance_scale, sampling.temperature, sampling.top_k, sampling.top_p)


def begin_sounds(
    network: MAGNeT, codec: Codec, asked: list[tuple[int, ...]], manner: Manner, seed: int = 0, batch: int = 8
) -> Tensor:
    """Waves [N, 1, S] by a twin alone, one row after the other; sample i has seed `seed + i`. Packs `network`."""
    if network.device.type == "cpu" and torch.backends.mkldnn.is_available():
        pack_linears(network)
    twin, terms, config = Twin(network, CounterNoise()), TermRows(network.terms), network.config
    grids: list[Tensor] = []
    for first in range(0, len(asked), batch):
        sounds = []
        for at, words in enumerate(asked[first : first + batch]):
            states = terms.encode(words)
            text = None if states is None else twin.memory(states)
            empty = torch.full((config.codebooks, config.length), config.mask_id)
            sounds.append(Beginning(sequence_key(seed + first + at, 0), empty, text, manner))
        while not sounds[0].done:
            twin.step(sounds)
        grids += [sound.ids for sound in sounds]
    device = next(codec.parameters()).device
    return torch.cat([codec.decode(torch.stack(part).to(device)).cpu() for part in _parts(grids, batch)])


def _parts(grids: list[Tensor], size: int) -> list[list[Tensor]]:
    return [grids[at : at + size] for at in range(0, len(grids), size)]
