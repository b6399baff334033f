"""What training stands on: gradients reach what they should, dropout and initialisation are the published ones."""

import math

import torch

from models.mar.config import MARConfig
from models.mar.loss import DiffusionLoss
from models.mar.network import MAR

CONFIG = MARConfig.preset("tiny")


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    known = torch.rand(3, CONFIG.length) < torch.tensor([[0.3], [0.0], [0.6]])
    return torch.randn(3, CONFIG.length, CONFIG.token_channels), torch.tensor([0, 2, CONFIG.null_class]), known


def test_a_fresh_head_predicts_nothing() -> None:
    torch.manual_seed(0)
    network = MAR(CONFIG)
    count = 400
    x0, noise = torch.randn(2, count, CONFIG.token_channels)
    t, z = torch.arange(count), torch.randn(count, CONFIG.decoder_dim)
    with torch.no_grad():
        assert not network.head(x0, t, z).any()
        loss = DiffusionLoss(1000)(network.head, x0, z, t, noise)
    torch.testing.assert_close(loss.mse, noise.square().mean(dim=-1))
    assert (loss.vb >= 0.0).all()


def test_gradients_reach_every_tensor_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    network, criterion = MAR(CONFIG).train(), DiffusionLoss(CONFIG.train_steps)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    tokens, labels, known = batch()
    tokens = torch.full_like(tokens, 0.5)
    losses = []
    for _ in range(25):
        z, unknown = network(tokens, labels, known)
        rows = tokens[unknown].repeat(4, 1), z.repeat(4, 1), torch.randint(CONFIG.train_steps, (4 * len(z),))
        loss = criterion(network.head, *rows, torch.randn_like(rows[0])).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_bound_teaches_the_variance_alone() -> None:
    torch.manual_seed(0)
    network = MAR(CONFIG)
    torch.nn.init.normal_(network.head.leave.weight)
    rows = (torch.randn(6, CONFIG.token_channels), torch.randn(6, CONFIG.decoder_dim), torch.arange(6) * 100)
    loss = DiffusionLoss(1000)(network.head, *rows, torch.randn(6, CONFIG.token_channels))
    loss.vb.sum().backward()
    grad = network.head.leave.weight.grad
    assert grad is not None
    noise, variance = grad.chunk(2)
    assert not noise.any() and variance.any()


def test_values_of_unknown_tokens_have_no_influence() -> None:
    torch.manual_seed(0)
    network = MAR(CONFIG).eval()
    tokens, labels, known = batch()
    hidden = torch.where(known.unsqueeze(-1), tokens, torch.nan)
    for one, other in zip(network(tokens, labels, known), network(hidden, labels, known), strict=True):
        assert torch.equal(one, other)


def test_dropout_is_for_training() -> None:
    torch.manual_seed(0)
    network = MAR(CONFIG).train()
    rows = batch()
    assert not torch.equal(network(*rows)[0], network(*rows)[0])
    network.eval()
    assert torch.equal(network(*rows)[0], network(*rows)[0])


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = MAR(MARConfig(encoder_depth=1, decoder_depth=1, head_depth=1))
    bound = math.sqrt(6 / (768 + 3 * 768))
    weight = network.encoder[0].attn.qkv.weight
    assert 0.99 * bound < float(weight.detach().abs().max()) <= bound
    assert not network.encoder[0].attn.qkv.bias.any()
    for table in (network.class_embedding.weight, network.encoder_positions, network.head.time1.weight):
        assert 0.019 < float(table.detach().std()) < 0.021
    assert not network.head.blocks[0].modulation.weight.any()
