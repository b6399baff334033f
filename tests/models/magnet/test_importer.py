"""Official bundles -> checkpoint directories, with every key accounted for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.catalogue import Catalogue
from models.checkpoint import CheckpointError, problems, read_config
from models.magnet.admission import decoding_of
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import read_architectures
from models.magnet.decoding import Decoding
from models.magnet.importer import CODEC, WEIGHTS, import_magnet, official_key
from models.magnet.network import MAGNeT
from models.tokenizers.codecs import load_codec
from models.tokenizers.encodec_importer import import_encodec
from models.weights import load_module
from tests.models.magnet.build import (
    LM,
    RECORDED,
    codec_settings,
    lm_settings,
    official_state,
    recorded,
    write_bundle,
    write_export,
)

GENERATE = {
    "use_sampling": True, "temp": 3.5, "top_k": 250, "top_p": 0.8, "max_cfg_coef": 20.0, "min_cfg_coef": 2.0,
    "decoding_steps": [60, 10, 10, 10], "anneal_temp": False, "span_scoring": "prod", "span_arrangement": "stride1",
    "prompted_samples": True,
}  # fmt: skip


def decoding(out: Path) -> Decoding:
    """What a request without wishes of its own runs with."""
    [entry] = Catalogue.scan([out]).entries.values()
    return decoding_of(entry.spec.sampling, entry.spec, MAGNeTConfig.from_dict(read_config(out).architecture))


def test_a_bundle_becomes_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "models" / "magnet"
    report = import_magnet(write_bundle(tmp_path / "magnet-small", **GENERATE), out)
    assert report.tensors == len(official_state("lm")) + LM["num_layers"] and report.dropped == ()
    assert report.parameters == sum(value.numel() for value in official_state("lm").values())
    assert problems(out) == []
    config = read_config(out)
    assert (config.family, config.licence, config.noncommercial) == ("magnet", "CC-BY-NC-4.0", True)
    assert config.training == {"imported_from": "magnet-small"}
    assert config.quality == {"low": 45, "medium": 90, "high": 180}

    sizes, codec = read_architectures(out, config)
    assert (sizes.length, sizes.text_encoder) == (LM["seq_len"], "t5-tiny")
    assert decoding(out) == Decoding(
        steps=(60, 10, 10, 10), temperature=3.5, anneal=False, top_p=0.8, guidance=(20.0, 2.0),
        arrangement="stride1", scoring="prod",
    )  # fmt: skip
    network = load_module(MAGNeT(sizes), out)
    io = recorded("lm")
    rows = zip(io["cond.embeds"], io["cond.attention_mask"], strict=True)
    texts = [row if seen.any() else None for row, seen in rows]
    found = network(io["fwd.sequence"].long(), 2, texts)
    torch.testing.assert_close(found, io["fwd.stage2.logits"], atol=2e-5, rtol=0)
    assert read_config(out / "tokenizer").noncommercial
    assert load_codec(out / "tokenizer").config == codec


def test_numbers_stay_as_precise_as_they_are(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    half = {key: value.half() for key, value in official_state("lm").items()}
    write_export(bundle / WEIGHTS, half, lm_settings())
    import_magnet(bundle / WEIGHTS, tmp_path / "half")
    import_magnet(bundle, tmp_path / "full", dtype=torch.float32)
    small, large = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full"))
    assert small < 0.6 * large
    sizes = MAGNeTConfig.from_dict(read_config(tmp_path / "half").architecture)
    loaded = load_module(MAGNeT(sizes), tmp_path / "half").state_dict()
    assert torch.equal(loaded["norm.weight"], half["out_norm.weight"].float())


def test_defaults_where_a_file_has_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_magnet(write_bundle(tmp_path / "bundle"), out, licence="MIT")
    config = read_config(out)
    assert decoding(out) == Decoding()
    assert not config.noncommercial
    import_magnet(write_bundle(tmp_path / "greedy", use_sampling=False, top_p=0.0, top_k=20), tmp_path / "greedy-out")
    greedy = decoding(tmp_path / "greedy-out")
    assert (greedy.greedy, greedy.top_p, greedy.top_k) == (True, 1.0, 20)


def test_a_codec_can_be_shared(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    import_encodec(bundle / CODEC, tmp_path / "models" / "codec")
    (bundle / CODEC).unlink()
    out = tmp_path / "models" / "magnet"
    import_magnet(bundle, out, tokenizer=tmp_path / "models" / "codec")
    config = read_config(out)
    assert config.tokenizer == "../codec" and problems(out) == []
    read_architectures(out, config)
    with pytest.raises(CheckpointError, match="No such file"):
        import_magnet(bundle, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [
        ("small-10secs", 420.4, 300),
        ("small-30secs", 420.4, 300),
        ("medium-10secs", 1838.7, 588),
        ("medium-30secs", 1838.7, 588),
        ("audio-small", 420.6, 300),
        ("audio-medium", 1839.1, 588),
    ],
)
def test_published_sizes(name: str, parameters: float, tensors: int) -> None:
    config = MAGNeTConfig.preset(name)
    with torch.device("meta"):
        state = MAGNeT(config).state_dict()
    assert round(sum(value.numel() for value in state.values()) / 1e6, 1) == parameters
    names = {official_key(key).removesuffix("[q]").removesuffix("[kv]") for key in state}
    assert len(names) == tensors
    assert config.length == (1500 if "30" in name else 500)
    assert MAGNeTConfig.from_dict(architecture_dict(config)) == config
    assert len(Decoding.preset(name).steps) == config.codebooks


def test_names_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = MAGNeT(MAGNeTConfig(depth=LM["num_layers"], codebooks=LM["n_q"])).state_dict()
    theirs = {official_key(key).removesuffix("[q]").removesuffix("[kv]") for key in ours}
    assert theirs == set(official_state("lm"))


LAYERS = "transformer.layers"
CROSS = f"{LAYERS}.1.cross_attention.in_proj_weight"
TEXT = "condition_provider.conditioners.description.output_proj"


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("out_norm.bias", {}, r"missing out_norm\.bias$"),
        (CROSS, {}, r"transformer\.layers\.1\.cross_attention\.in_proj_weight is missing"),
        (f"{TEXT}.weight", {}, r"description\.output_proj\.weight is missing"),
        (f"{TEXT}.bias", {}, r"missing condition_provider\.conditioners\.description\.output_proj\.bias$"),
        ("transformer.layers.0.self_attn.in_proj_weight", {}, r"missing transformer\.layers\.0\.self_attn\.in_proj_w"),
        ("", {"stranger": torch.zeros(1)}, "unexpected stranger$"),
        ("", {CROSS.replace("1", "71"): torch.zeros(96, 32)}, r"unexpected transformer\.layers\.71\.cross"),
        ("", {f"{LAYERS}.0.linear1.bias": torch.zeros(9)}, r"unexpected transformer\.layers\.0\.linear1\.bias$"),
        ("", {"out_norm.bias": torch.zeros(31)}, r"wrong shape out_norm\.bias is \[31\], not \[\d+\]$"),
        (
            "",
            {CROSS: torch.zeros(5, 32)},
            r"wrong shape transformer\.layers\.1\.cross.* is \[5, 32\], not \[\d+, \d+\]$",
        ),
        ("", {"emb.0.weight": torch.zeros(9, 32)}, r"wrong shape emb\.0\.weight"),
    ],
)
def test_every_key_is_accounted_for(tmp_path: Path, drop: str, add: dict[str, Tensor], sentence: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    state = {key: value for key, value in official_state("lm").items() if key != drop} | add
    write_export(bundle / WEIGHTS, state, lm_settings())
    refused(bundle, tmp_path / "out", sentence)


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("transformer_lm", {"subcodes_context": None}, "xp.cfg has no transformer_lm.subcodes_context"),
        ("transformer_lm", {"norm_first": False}, "transformer_lm.norm_first False is not supported"),
        ("transformer_lm", {"num_heads": 5}, rf"dim {LM['dim']} is no multiple of heads 5"),
        ("transformer_lm", {"card": LM["card"] + 1}, r"wrong shape embeddings?.*|wrong shape emb\.0"),
        ("transformer_lm", {"num_layers": 99}, r"transformer\.layers\.\d+\.cross_attention\.in_proj_weight is missing"),
        ("masking", {"span_len": None}, "xp.cfg has no masking.span_len"),
        ("dataset", {"segment_duration": "ten"}, r"architecture\.seconds"),
        ("dataset", {"segment_duration": "${nowhere}"}, "xp.cfg has no nowhere"),
        ("dataset", {"segment_duration": 0.01}, "0 tokens, less than a span of"),
        ("generate", {"lm": {"decoding_steps": [20, 10]}}, "decoding.steps has 2 numbers, but there are"),
        ("generate", {"lm": {"span_scoring": "mean"}}, r"scoring"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, section: str, change: dict[str, Any], sentence: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    settings = lm_settings()
    changed = {name: value for name, value in (settings[section] | change).items() if value is not None}
    write_export(bundle / WEIGHTS, official_state("lm"), settings | {section: changed})
    refused(bundle, tmp_path / "out", sentence)


def test_a_codec_that_does_not_fit(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    state = {key: v for key, v in official_state("codec").items() if not key.startswith("quantizer.vq.layers.3")}
    settings = codec_settings()
    write_export(bundle / CODEC, state, settings | {"rvq": {"n_q": 3, "bins": RECORDED["codec"]["bins"]}})
    refused(bundle, tmp_path / "out", "architecture.codebooks is 4, but its tokenizer has 3")


def test_truncated_files(tmp_path: Path) -> None:
    for name in (WEIGHTS, CODEC):
        bundle = write_bundle(tmp_path / name)
        (bundle / name).write_bytes((bundle / name).read_bytes()[:-5000])
        refused(bundle, tmp_path / "out", f"{name}: cannot be read as plain weights")


def refused(bundle: Path, out: Path, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_magnet(bundle, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    torch.save({"best_state": {}, "xp.cfg": Trap(tmp_path / "sprung")}, bundle / WEIGHTS)
    refused(bundle, tmp_path / "out", "cannot be read as plain weights")
    assert not (tmp_path / "sprung").exists()
