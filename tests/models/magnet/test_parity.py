"""The recorded numbers of the published network."""

from functools import partial

import pytest
import torch
from torch import Tensor

from models.magnet.config import MAGNeTConfig
from models.magnet.network import MAGNeT
from models.magnet.pack import Branch, pack
from tests.models.magnet.build import LM, RATE, recorded
from tests.models.magnet.replay import text_rows

close = partial(torch.testing.assert_close, atol=2e-5, rtol=0)


def test_sizes_are_read(network: MAGNeT) -> None:
    assert network.config == MAGNeTConfig(
        codebooks=LM["n_q"],
        codebook_size=LM["card"],
        frame_rate=RATE,
        seconds=(LM["seq_len"] + 0.5) / RATE,
        span=LM["span_len"],
        context=LM["subcodes_context"],
        dim=LM["dim"],
        depth=LM["num_layers"],
        heads=LM["num_heads"],
        mlp_ratio=LM["hidden_scale"],
        text_encoder="t5-tiny",
        text_dim=LM["t5_dim"],
    )
    assert network.config.mask_id == LM["mask_token_id"]
    assert network.config.length == LM["seq_len"]


def test_text_rows(network: MAGNeT) -> None:
    io = recorded("lm", "cond.")
    rows = network.condition(io["t5_last_hidden_state"].flatten(0, 1)).view_as(io["embeds"])
    close(rows * io["attention_mask"].unsqueeze(-1), io["embeds"])


@pytest.mark.parametrize("codebook", range(LM["n_q"]))
def test_every_codebook(network: MAGNeT, codebook: int) -> None:
    """Null rows, which skip their texts, among them."""
    io = recorded("lm", "fwd.")
    close(network(io["sequence"].long(), codebook, text_rows(network)), io[f"stage{codebook}.logits"])


def test_every_head(network: MAGNeT) -> None:
    io = recorded("lm", "fwd.")
    [text, *_] = text_rows(network)
    assert text is not None
    ids = io["sequence"][0].long()
    branch = Branch(ids, 1, torch.arange(ids.shape[1]), network.memory(text))
    rows = network.trunk(pack(network.config, [branch], network.device))[: ids.shape[1]]
    found = torch.stack([network.logits(rows, codebook) for codebook in range(len(ids))])
    close(found, io["stage1.logits_allheads_row0"])


def test_a_text_without_pads(network: MAGNeT) -> None:
    """What the published code gives where the prompt is alone."""
    io, row = recorded("lm", "fwd."), LM["measured"]["unpadded_row"]
    cond = recorded("lm", "cond.")
    seen = cond["attention_mask"][row].bool()
    assert int(seen.sum()) == LM["measured"]["unpadded_len"]
    text: Tensor = network.condition(cond["t5_last_hidden_state"][row, seen])
    ids = io["sequence"][row : row + 1].long()
    close(network(ids, 0, [text]), io["unpadded.logits"])
    padded = network(ids, 0, [text_rows(network)[row]])
    assert float((padded - io["unpadded.logits"]).abs().max()) > 1e-3 or bool(seen.all()), "pads dilute"
