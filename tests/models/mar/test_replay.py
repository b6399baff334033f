"""Whole generations of the published samplers: alone, together, and at different steps of the same batch."""

from random import Random

import pytest
import torch

from models.mar.network import MAR
from tests.models.mar.drive import admit, jumble, run, step
from tests.models.mar.replay import GROUPS, admitted, check, load, recorded_decoder, requests_of


@pytest.mark.parametrize("group", GROUPS)
def test_alone(network: MAR, group: str) -> None:
    io = load(group)
    decoder = recorded_decoder(network, io["noise"], io["orders"])
    for row, seq in enumerate(admitted(decoder, group, io)):
        run(decoder, [seq])
        check(network, [seq], io["out_latents"][row : row + 1])


@pytest.mark.parametrize("group", GROUPS)
def test_together(network: MAR, group: str) -> None:
    io = load(group)
    decoder = recorded_decoder(network, io["noise"], io["orders"])
    seqs = admitted(decoder, group, io)
    run(decoder, seqs)
    check(network, seqs, io["out_latents"])
    assert decoder.slots.in_use == 0


@pytest.mark.parametrize("ahead", [1, 2, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_at_different_steps(network: MAR, group: str, ahead: int) -> None:
    io = load(group)
    decoder = recorded_decoder(network, io["noise"], io["orders"])
    seqs = admitted(decoder, group, io)
    for _ in range(ahead):
        step(decoder, seqs[:1])
    run(decoder, seqs)
    check(network, seqs, io["out_latents"])


@pytest.mark.parametrize("group", GROUPS)
def test_in_any_slices(network: MAR, group: str) -> None:
    io = load(group)
    decoder = recorded_decoder(network, io["noise"], io["orders"])
    seqs = admitted(decoder, group, io)
    jumble(decoder, list(seqs), Random(1))
    check(network, seqs, io["out_latents"])


def test_guided_beside_unguided_and_reuse_beside_full(network: MAR) -> None:
    """Row 1 of several fixtures in one batch, as rows of their own."""
    groups = ("sample_cfg", "sample_nocfg", "recap_buffer_recomputed", "recap_buffer_cached")
    ios = [load(group) for group in groups]
    decoder = recorded_decoder(
        network, torch.stack([io["noise"][1] for io in ios]), torch.stack([io["orders"][1] for io in ios])
    )
    labels = [int(io["labels"][1]) for io in ios]
    seqs = admit(decoder, *(requests_of(group, labels)[row] for row, group in enumerate(groups)))
    run(decoder, seqs)
    for io, seq in zip(ios, seqs, strict=True):
        check(network, [seq], io["out_latents"][1:2])
