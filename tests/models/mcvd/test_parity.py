"""The recorded numbers of the published code: network, noise levels, loss."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.mcvd.config import MCVDConfig
from models.mcvd.diffusion import GammaLevels, Levels, visited
from models.mcvd.keys import numbered
from models.mcvd.loss import Norm, noise_loss
from models.mcvd.network import MCVD
from tests.models.mcvd.build import described, recorded, schedules


def test_sizes_are_those_of_the_settings(name: str, network: MCVD) -> None:
    spade = name == "spade"
    assert network.config == MCVDConfig(
        resolution=16,
        frames=3,
        past=4,
        future=2 if spade else 0,
        width=6,
        multipliers=(1, 2, 3),
        res_blocks=1,
        attention=(8,),
        head_channels=6,
        spade=spade,
        spade_dim=8 if spade else 128,
        mask_past=0.5 if spade else 0.0,
        mask_future=0.5 if spade else 0.0,
    )
    assert sum(p.numel() for p in network.parameters()) == described(name)["num_params"]


def test_network(name: str, network: MCVD) -> None:
    io = recorded(name, "net")
    rows = [
        network(io["x"][at : at + 1], io["t"][at : at + 1], network.condition(io["cond"][at : at + 1]))
        for at in range(len(io["x"]))
    ]
    torch.testing.assert_close(torch.cat(rows), io["out"], atol=3e-6, rtol=0)
    together = network(io["x"], io["t"], network.condition(io["cond"]))
    torch.testing.assert_close(together, io["out"], atol=5e-6, rtol=0)


def test_every_module(name: str, network: MCVD) -> None:
    """Mean and standard deviation of what each of the published modules makes."""
    made: dict[str, Tensor] = {}

    def keep(path: str) -> None:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            made[path] = output

        hooks.append(network.get_submodule(path).register_forward_hook(hook))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for path in numbered(network):
        keep(path)
    io, trace = recorded(name, "net"), described(name)["module_trace"]
    network(io["x"], io["t"], network.condition(io["cond"]))
    for handle in hooks:
        handle.remove()
    assert len(trace) == len(numbered(network))
    for path, wanted in zip(numbered(network), trace, strict=True):
        assert list(made[path].shape) == wanted["shape"], path
        found = torch.stack([made[path].mean(), made[path].std()])
        torch.testing.assert_close(found, torch.tensor([wanted["mean"], wanted["std"]]), atol=2e-6, rtol=0, msg=path)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_loss(name: str, network: MCVD, norm: Norm) -> None:
    io = recorded(name, "loss")
    network.requires_grad_(True)
    loss = noise_loss(network, Levels.of(network.config), io["x"], io["cond"], io["labels"], io["z"], norm=norm)
    torch.testing.assert_close(loss, io[norm][0], atol=0, rtol=1e-6)
    if norm == "l2":
        grads = torch.autograd.grad(loss, list(network.parameters()))
        torch.testing.assert_close(torch.stack([g.norm() for g in grads]).norm(), io["grad_norm"][0], atol=0, rtol=1e-6)
    network.requires_grad_(False)
    given = (network, Levels.of(network.config), io["x"], io["cond"], io["labels"], io["z"], None, norm)
    double = noise_loss(*given, weights=torch.full((len(io["x"]),), 2.0))
    torch.testing.assert_close(double, 2.0 * loss.detach(), atol=0, rtol=1e-5)


@pytest.mark.parametrize("betas", ["linear", "cosine"])
def test_noise_levels(betas: str) -> None:
    io = schedules()
    levels = Levels.of(MCVDConfig.from_dict({"betas": betas}))
    assert torch.equal(levels.betas, io[f"{betas}.betas"])
    assert torch.equal(levels.kept, io[f"{betas}.alphas"])
    assert torch.equal(levels.kept_after, io[f"{betas}.alphas_prev"])


@pytest.mark.parametrize("steps", [10, 20, 30, 50, 100, 250])
def test_visited_levels(steps: int) -> None:
    io, places = schedules(), visited(1000, steps, "official")
    assert places == io[f"linear.sub{steps}.steps"].tolist()
    levels = Levels.of(MCVDConfig()).visiting(places)
    assert torch.equal(levels.kept, io[f"linear.sub{steps}.alphas"])
    assert torch.equal(levels.betas, io[f"linear.sub{steps}.betas"])


def test_gamma_noise() -> None:
    io, gamma = schedules(), GammaLevels.of(Levels.of(MCVDConfig()))
    assert torch.equal(gamma.step_shape, io["linear.gamma.k"])
    assert torch.equal(gamma.shape, io["linear.gamma.k_cum"])
    torch.testing.assert_close(gamma.scale, io["linear.gamma.theta_t"], atol=0, rtol=2e-7)


def test_other_numbers_of_levels() -> None:
    levels = Levels.of(replace(MCVDConfig(), train_steps=50, beta_noisiest=0.3))
    torch.testing.assert_close(levels.betas[[0, -1]], torch.tensor([0.3, 1e-4]))
    torch.testing.assert_close(levels.visiting(visited(50, 50)).betas, levels.betas, atol=1e-6, rtol=1e-4)
