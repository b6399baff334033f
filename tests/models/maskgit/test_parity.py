"""Logits, keys and values, and every token of the official ReCAP / AutoNAT loops, from recorded tensors."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.decoder import GenerationRequest, Kind
from models.decoding.annealing import Annealed
from models.decoding.noise import Purpose, Rows
from models.decoding.plan import Plan
from models.maskgit.config import UViTConfig
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.maskgit.official import autonat, maskgit_r
from models.spec import DecoderSpec, Sampling
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from tests.models.maskgit.build import spec_of

FIXTURES = Path(__file__).parents[2] / "parity" / "maskgit"
CONFIG = json.loads((FIXTURES / "config.json").read_text())
L, K = CONFIG["hw"] ** 2, CONFIG["codebook_size"]


def config() -> UViTConfig:
    net = CONFIG["nnet"]
    return UViTConfig(
        codebook_size=K,
        grid=(CONFIG["hw"], CONFIG["hw"]),
        num_classes=CONFIG["num_classes"] - 1,
        dim=net["embed_dim"],
        depth=net["depth"],
        heads=net["num_heads"],
        mlp_ratio=net["mlp_ratio"],
    )


def network() -> UViT:
    net = UViT(config())
    net.load_state_dict(load_file(FIXTURES / "uvit_state_dict.safetensors"))
    return net.eval()


def tokenizer() -> VQGAN:
    dd = CONFIG["vqgan"]["ddconfig"]
    return VQGAN(
        VQGANConfig(
            ch=dd["ch"],
            ch_mult=tuple(dd["ch_mult"]),
            num_res_blocks=dd["num_res_blocks"],
            z_channels=dd["z_channels"],
            codebook_size=K,
            resolution=dd["resolution"],
        )
    )


def spec() -> DecoderSpec:
    return spec_of(config(), (12, 12), 3)


@dataclass
class Recorded:
    """Replays the official draws: Gumbel-max with the stored noise. `ranks` is each group's recorded order."""

    score: dict[int, Tensor]  # step -> [B, L, K]
    token: dict[int, Tensor]  # step -> [B, n, K] in confidence order
    choice: dict[int, Tensor]  # step -> [B, L]
    rank: dict[int, Tensor]  # step -> [B, L]: place of a position in its group's order

    def categorical(self, logits: Tensor, rows: Rows, purpose: Purpose) -> Tensor:
        picked = []
        for logit, seq, step, pos in zip(
            logits, rows.sequence.tolist(), rows.step.tolist(), rows.position.tolist(), strict=True
        ):
            if purpose is Purpose.SCORE:
                noise = self.score[step][seq, pos]
            else:
                noise = self.token[step][seq, self.rank[step][seq, pos]]
            picked.append((logit + noise).argmax())
        return torch.stack(picked) if picked else torch.empty(0, dtype=torch.long)

    def gumbel(self, rows: Rows) -> Tensor:
        return torch.tensor(
            [
                float(self.choice[step][seq, pos])
                for seq, step, pos in zip(
                    rows.sequence.tolist(), rows.step.tolist(), rows.position.tolist(), strict=True
                )
            ]
        )


def trace_recap(io: dict[str, Tensor], plan: Plan) -> Recorded:
    recorded = Recorded({}, {}, {}, {})
    draws = iter(sorted(k for k in io if k.startswith("cat") and k.endswith("gumbel")))
    for g, (group, start) in enumerate(zip(plan.groups, plan.boundaries, strict=False)):
        recorded.score[start] = io[next(draws)]
        recorded.choice[start] = io[f"conf{g:02}_gumbel"]
        rank = io[f"conf{g:02}_order"].long().argsort(dim=1)
        for local in range(len(group)):
            recorded.token[start + local] = io[next(draws)]
            recorded.rank[start + local] = rank
    return recorded


def decode(plan: Plan, annealed: Annealed, noise: Recorded, labels: Tensor, sampling: Sampling) -> list[Tensor]:
    """Run the decoder over the official labels, one sequence per label, all in shared steps; ids before each step."""
    decoder = MaskGITDecoder(spec(), network(), tokenizer(), noise=noise)
    seqs = []
    for label in labels.flatten().tolist():
        request = GenerationRequest("generate", label, sampling, seed=0, plan=plan)
        seqs += decoder.admit(request)
        decoder.pool.anneal(seqs[-1].slot, annealed)  # type: ignore[attr-defined]
    slots = [seq.slot for seq in seqs]  # type: ignore[attr-defined]
    history = [decoder.pool.ids[slots].clone()]
    while (work := decoder.next_work(seqs[0])).kind is Kind.STEP:  # type: ignore[union-attr]
        decoder.run(work, seqs)  # type: ignore[arg-type]
        history.append(decoder.pool.ids[slots].clone())
    for seq in seqs:
        decoder.release(seq)
    assert decoder.slots.in_use == 0
    return history


@pytest.mark.parametrize("name", ["plain_T6", "recap_T8_u1_pre2", "recap_T6_u2_pre0_cfg"])
def test_every_token_of_the_recap_traces(name: str) -> None:
    io = load_file(FIXTURES / f"trace_{name}.safetensors")
    args: dict[str, Any] = CONFIG["samplers"][name]
    guided = args.get("cfg", False)
    plan, annealed = maskgit_r(
        L,
        args["gen_step"],
        args["num_cache_iters"],
        args["pre_full_iters"],
        args["samp_temp"],
        args["conf_temp"],
        (0.05, 0.1) if guided else None,
    )
    sampling = Sampling(draw="separate", guidance_scale=1.05 if guided else 1.0)
    history = decode(plan, annealed, trace_recap(io, plan), io["labels"], sampling)
    full = [k for k in sorted(io) if k.startswith("call") and k.endswith("_ids")]
    full = [k for k in full if k.replace("_ids", "_pos") not in io][:: 2 if guided else 1]
    for key, start in zip(full, plan.boundaries, strict=False):
        assert torch.equal(history[start], io[key].long()), f"input of {key}"
    assert torch.equal(history[-1], io["final_ids"].long())


def test_every_token_of_the_autonat_trace() -> None:
    io = load_file(FIXTURES / "trace_autonat.safetensors")
    lists = CONFIG["autonat"]
    plan, annealed = autonat(
        L,
        lists["manual_ratios"],
        lists["manual_temp"],
        lists["manual_samp_temp"],
        lists["manual_cfg"],
    )
    recorded = Recorded(
        {t: io[f"step{t:02}_cat_gumbel"] for t in range(plan.steps)},
        {},
        {t: io[f"step{t:02}_conf_gumbel"] for t in range(plan.steps)},
        {},
    )
    sampling = Sampling(draw="joint", guidance_scale=2.0)
    history = decode(plan, annealed, recorded, io["labels"], sampling)
    for t in range(plan.steps):
        assert torch.equal(history[t], io[f"step{t:02}_ids"].long()), f"step {t}"
    assert torch.equal(history[-1], io["final_ids"].long())


def test_logits_of_the_plain_forward() -> None:
    io = load_file(FIXTURES / "forward_io.safetensors")
    net = network()
    with torch.inference_mode():
        labels = io["labels"].long().flatten()
        cond = net(io["ids"].long(), labels)
        uncond = net(io["ids"].long(), torch.full_like(labels, net.config.null_class))
    torch.testing.assert_close(cond, io["logits_full"], atol=1e-4, rtol=0)
    torch.testing.assert_close(uncond, io["logits_full_uncond"], atol=1e-4, rtol=0)


def test_keys_values_and_the_reuse_forward() -> None:
    """The packed forward writes the official keys and values into its slots, and reuse rows see them."""
    io = load_file(FIXTURES / "forward_io.safetensors")
    targets, labels = io["target_idx"].long(), io["labels"].long().flatten()
    n = targets.shape[1]
    decoder = MaskGITDecoder(spec(), network(), tokenizer())
    seen: list[Tensor] = []
    decoder.probe = lambda seqs, rows, logits: seen.append(logits.clone())
    seqs = []
    for b, label in enumerate(labels.tolist()):
        ids = io["ids"][b].long()
        known = ids != K
        free = L - int(known.sum())
        plan = Plan(((n, free - n),) if free > n else ((1, n - 1),))
        request = GenerationRequest("generate", label, Sampling(), seed=b)
        seq = decoder._place(request, 0, plan, ~known)
        decoder.pool.ids[seq.slot] = ids
        seqs.append(seq)
    work = decoder.next_work(seqs[0])
    decoder.run(work, seqs)  # type: ignore[arg-type]
    keys = decoder.slots.store.view(config().blocks, 2, -1, L + 1, *decoder.slots.store.shape[3:])
    for b, seq in enumerate(seqs):
        torch.testing.assert_close(keys[:, 0, seq.kv[0]], io["full_k"][:, b], atol=1e-4, rtol=0)
        torch.testing.assert_close(keys[:, 1, seq.kv[0]], io["full_v"][:, b], atol=1e-4, rtol=0)
        # the recorded reuse forward: its targets, of which some are already decided
        decoder.pool.order[seq.slot, :n] = targets[b]
        decoder.pool.ids[seq.slot, targets[b]] = io["local_ids"][b].long()
        seq.plan, seq.step = Plan(((1, n - 1),)), 1
        seq.bounds = frozenset(seq.plan.boundaries)
        seq.request = replace(seq.request, partials=0)
    decoder.run(decoder.next_work(seqs[0]), seqs)  # type: ignore[arg-type]
    got = seen[1].view(2, n - 1, K)
    torch.testing.assert_close(got, io["logits_partial"][:, 1:], atol=1e-4, rtol=0)
    stale = (io["logits_partial"] - io["logits_full_refreshed_at_targets"]).abs().max()
    assert stale > 1e-3  # the fixture would notice a cache that is not used
