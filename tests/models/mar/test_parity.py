"""The recorded numbers of the published code: network, head, process, chains, loss."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor

from models.mar.chain import ChainRows, ChainStepper
from models.mar.config import MARConfig
from models.mar.diffusion import Process, cosine_betas, posterior
from models.mar.fused import FusedHead
from models.mar.loss import DiffusionLoss
from models.mar.network import MAR
from models.mar.patches import patchify, unpatchify
from tests.models.mar.build import CHAIN, RECORDED, recorded

close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


def scaled(actual: Tensor, wanted: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual, wanted, atol=tolerance * float(wanted.abs().max()), rtol=0)


def test_sizes_are_inferred(network: MAR) -> None:
    sizes = RECORDED["model"]
    side = sizes["img_size"] // sizes["vae_stride"] // sizes["patch_size"]
    assert network.config == MARConfig(
        grid=(side, side),
        patch=sizes["patch_size"],
        channels=sizes["vae_embed_dim"],
        num_classes=sizes["class_num"],
        buffer=sizes["buffer_size"],
        encoder_dim=sizes["encoder_embed_dim"],
        encoder_depth=sizes["encoder_depth"],
        encoder_heads=sizes["encoder_num_heads"],
        decoder_dim=sizes["decoder_embed_dim"],
        decoder_depth=sizes["decoder_depth"],
        decoder_heads=sizes["decoder_num_heads"],
        mlp_ratio=sizes["mlp_ratio"],
        head_depth=sizes["diffloss_d"],
        head_width=sizes["diffloss_w"],
    )


def test_tokens(network: MAR) -> None:
    io, config = recorded("fwd"), network.config
    tokens = patchify(io["latents"], config.patch)
    assert torch.equal(tokens, io["tokens"])
    assert torch.equal(unpatchify(tokens, config.patch, config.grid), io["latents"])


@pytest.mark.parametrize(("suffix", "null"), [("", False), ("_uncond", True)])
def test_both_stacks(network: MAR, suffix: str, null: bool) -> None:
    from models.mar.attention import Ragged
    from models.mar.pack import Branch, pack

    io, config = recorded("fwd"), network.config
    labels = torch.full_like(io["labels"], config.null_class) if null else io["labels"]
    everything = torch.arange(config.length)
    branches = [
        Branch(tokens=row, shown=(mask == 0).nonzero().squeeze(-1), wanted=everything)
        for row, mask in zip(io["tokens"], io["mask"], strict=True)
    ]
    packed = pack(config, branches)
    conditions = network.condition(labels)
    attend = Ragged(packed.encoder_spans)
    encoded = network.encode(packed.values, packed.encoder_slot, packed.branch, conditions, attend)
    wanted = io[f"encoder_out{suffix}"]
    close(encoded[: wanted.shape[0] * wanted.shape[1]], wanted.flatten(0, 1))
    decoded = network.decode(encoded, packed.source, packed.decoder_slot, Ragged(packed.decoder_spans))
    close(network.place(decoded[packed.wanted], packed.position), io[f"z{suffix}"].flatten(0, 1))

    z, unknown = network(io["tokens"], labels, io["mask"] == 0)
    assert torch.equal(unknown, io["mask"] == 1)
    close(z, io[f"z{suffix}"][unknown])


def test_the_first_step(network: MAR) -> None:
    io = recorded("fwd")
    z, unknown = network(io["tokens"] * torch.nan, io["labels"], torch.zeros_like(io["mask"], dtype=torch.bool))
    assert unknown.all()
    close(z, io["z_allmasked"].flatten(0, 1))


def test_head(network: MAR) -> None:
    io, head = recorded("net"), network.head
    close(head.time(io["t"]), io["time_embed"])
    close(head(io["x"], io["t"], io["c"]), io["out"])
    both, t = io["x"].repeat(2, 1), io["t"].repeat(2)
    out = head(both, t, io["cfg_c"])
    noise, variance = out.chunk(2, dim=-1)
    cond, free = noise.chunk(2)
    guided = (free + io["cfg_scale"] * (cond - free)).repeat(2, 1)
    close(torch.cat([guided, variance], dim=-1), io["cfg_out"])


def test_schedule(network: MAR) -> None:
    io, exact = recorded("sched"), partial(torch.testing.assert_close, atol=0, rtol=1e-10)
    process = Process.of(network.config.train_steps, CHAIN)
    exact(cosine_betas(network.config.train_steps), io["train_betas"])
    assert torch.equal(process.timesteps, io["gen_timestep_map"])
    exact(process.betas, io["gen_betas"])
    exact(process.alphas_cumprod, io["gen_alphas_cumprod"])
    exact(process.posterior_mean_x0, io["gen_posterior_mean_coef1"])
    exact(process.posterior_mean_xt, io["gen_posterior_mean_coef2"])
    exact(process.posterior_log_variance, io["gen_posterior_log_variance_clipped"])


@pytest.fixture(params=["as trained", "fused", "packed"])
def stepper(network: MAR, request: pytest.FixtureRequest) -> ChainStepper:
    head = deepcopy(network.head)
    if request.param == "as trained":
        return ChainStepper(head, network.config.train_steps)
    return ChainStepper(FusedHead(head, packed=request.param == "packed"), network.config.train_steps)


def test_posterior(network: MAR, stepper: ChainStepper) -> None:
    io, net = recorded("pmv"), recorded("net")
    rows = torch.tensor([stepper.chains.row(CHAIN, index) for index in io["t"].tolist()])
    out = network.head(net["x"], stepper.chains.timesteps[rows], net["c"])
    found = posterior(stepper.chains.coefficients(rows), net["x"], *out.chunk(2, dim=-1))
    scaled(found.mean, io["mean"], 1e-4)
    scaled(found.x0, io["pred_xstart"], 1e-4)
    close(found.log_variance, io["log_variance"])


@pytest.mark.parametrize("guided", [False, True])
def test_chain(network: MAR, stepper: ChainStepper, guided: bool) -> None:
    io, net = recorded("chain_cfg" if guided else "chain"), recorded("net")
    count = len(io["x_start"])
    condition = stepper.condition(net["cfg_c"] if guided else net["c"])
    which = torch.arange(count if guided else 0)
    x = io["x_start"]
    for index, noise, wanted in zip(io["index"].tolist(), io["noise"], io["trace"], strict=True):
        rows = ChainRows(
            row=torch.tensor([stepper.chains.row(CHAIN, index)] * count),
            condition=condition[:count],
            temperature=torch.full((count,), 0.9),
            guided=which,
            unconditional=condition[count:],
            scale=torch.full((len(which),), 2.2),
        )
        x = stepper.run(x, rows, noise.unsqueeze(0))
        torch.testing.assert_close(x, wanted, atol=1e-4, rtol=0)


def test_loss(network: MAR) -> None:
    io, net = recorded("train"), recorded("net")
    loss = DiffusionLoss(network.config.train_steps)(network.head, io["target"], net["c"], net["t"], io["noise"])
    close(loss.mse, io["mse"])
    close(loss.vb, io["vb"])
    close(loss.total, io["loss"])
