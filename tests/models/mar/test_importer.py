"""Official generator files -> checkpoint directories, with every key accounted for."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import CheckpointError, problems, read_config
from models.mar.config import MARConfig
from models.mar.importer import import_mar, official_key, read_mar
from models.mar.network import MAR
from models.tokenizers.kl_importer import import_kl
from models.weights import load_module
from tests.models.mar.build import HEADS, official_state
from tests.models.mar.drive import run
from tests.models.mar.replay import admitted, check, load, recorded_decoder
from tests.tiny import tiny_checkpoint


def as_torch_file(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kl")
    source = as_torch_file(place / "kl16.ckpt", {"model": official_state("vae")})
    import_kl(source, place / "kl", resolution=8)
    return place / "kl"


def test_a_training_checkpoint_becomes_a_working_one(tmp_path: Path, tokenizer: Path) -> None:
    state = official_state("mar")
    content = {
        "model": {key: torch.zeros_like(value) for key, value in state.items()},
        "model_ema": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]},
        "epoch": 400,
        "scaler": {"scale": 65536.0},
        "args": Namespace(model="mar_base", cfg=2.9),
    }
    source = as_torch_file(tmp_path / "checkpoint-last.pth", content)
    out = tmp_path / "models" / "mar"
    report = import_mar(source, out, tokenizer, heads=HEADS)
    assert (report.tensors, report.dropped) == (len(state), ())
    assert report.parameters == sum(value.numel() for value in state.values())
    config = read_config(out)
    assert (config.family, config.classes) == ("mar", [f"class {i}" for i in range(5)])
    assert (out / str(config.tokenizer)).resolve() == tokenizer.resolve()
    assert problems(out) == []

    network = load_module(MAR(MARConfig.from_dict(config.architecture)), out).requires_grad_(False)
    io = load("sample_cfg")
    decoder = recorded_decoder(network, io["noise"], io["orders"])
    seqs = admitted(decoder, "sample_cfg", io)
    run(decoder, seqs)
    check(network, seqs, io["out_latents"])


@pytest.mark.parametrize("name", ["b", "l", "h"])
def test_published_widths_decide_the_heads(tmp_path: Path, name: str) -> None:
    """Shapes alone, as meta tensors: nothing of these sizes is allocated."""
    from models.mar.importer import infer_mar

    config = MARConfig.preset(name)
    with torch.device("meta"):
        state = {official_key(key): value for key, value in MAR(config).state_dict().items()}
    assert infer_mar(tmp_path, state) == config


def test_names_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = MAR(MARConfig.preset("tiny")).state_dict()
    theirs = [official_key(key) for key in ours]
    assert len(set(theirs)) == len(ours)
    assert set(theirs) == set(official_state("mar"))


def changed(drop: str, **add: Tensor) -> dict[str, Tensor]:
    return {key: value for key, value in official_state("mar").items() if key != drop} | add


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("decoder_norm.bias", {}, "missing decoder_norm.bias$"),
        ("diffloss.net.res_blocks.1.in_ln.bias", {}, r"missing diffloss\.net\.res_blocks\.1\.in_ln\.bias"),
        ("fake_latent", {}, "missing fake_latent"),
        ("", {"stranger": torch.zeros(1)}, "unexpected stranger$"),
        ("", {"encoder.0.norm1.weight": torch.zeros(32)}, r"unexpected encoder\.0\.norm1\.weight$"),
        ("", {"mask_token": torch.zeros(1, 1, 31)}, r"wrong shape mask_token is \[1, 1, 31\], not \[32\]"),
        ("", {"z_proj.weight": torch.zeros(4, 32)}, r"wrong shape z_proj\.weight"),
        ("z_proj.weight", {}, r"z_proj\.weight is missing, so this is another layout"),
        ("", {"z_proj.weight": torch.zeros(32)}, r"wrong shape z_proj\.weight is \[32\]"),
        ("", {"class_emb.weight": torch.tensor(1.0)}, r"wrong shape class_emb\.weight is \[\]"),
        ("", {"diffusion_pos_embed_learned": torch.zeros(16)}, "wrong shape diffusion_pos_embed_learned"),
        ("", {"encoder_pos_embed_learned": torch.zeros(1, 20, 0)}, "wrong shape encoder_pos_embed_learned"),
        ("", {"diffusion_pos_embed_learned": torch.zeros(1, 15, 32)}, "15 positions are no square grid"),
        ("", {"diffusion_pos_embed_learned": torch.zeros(1, 36, 32)}, r"architecture\.buffer"),
    ],
)
def test_every_key_is_accounted_for(
    tmp_path: Path, tokenizer: Path, drop: str, add: dict[str, Tensor], sentence: str
) -> None:
    source = as_torch_file(tmp_path / "checkpoint-last.pth", {"model_ema": changed(drop, **add)})
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_mar(source, tmp_path / "out", tokenizer, heads=HEADS)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    source = as_torch_file(tmp_path / "checkpoint-last.pth", {"model_ema": official_state("mar")})
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        read_mar(source, HEADS)
    with pytest.raises(CheckpointError, match="No such file"):
        read_mar(tmp_path / "nothing.pth", HEADS)
    with pytest.raises(CheckpointError, match="not tensors: epoch"):
        read_mar(as_torch_file(tmp_path / "other.pth", {"epoch": 3}), HEADS)


def test_what_no_weight_shows_is_asked_for(tmp_path: Path, tokenizer: Path) -> None:
    source = as_torch_file(tmp_path / "mar.pth", official_state("mar"))
    with pytest.raises(CheckpointError, match="no published size is 32 wide: give the heads"):
        read_mar(source)
    with pytest.raises(CheckpointError, match="encoder_dim 32 is no multiple of encoder_heads 5"):
        read_mar(source, (5, 4))
    assert read_mar(source, HEADS, patch=2)[0].channels == 1
    for patch in (0, 3):
        with pytest.raises(CheckpointError, match=f"no {patch}x{patch} patches"):
            read_mar(source, HEADS, patch=patch)
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    with pytest.raises(CheckpointError, match="2 lines, but the model has 5 classes"):
        import_mar(source, tmp_path / "out", tokenizer, names, HEADS)
    names.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(CheckpointError, match=r"names\.txt: not a text file"):
        import_mar(source, tmp_path / "out", tokenizer, names, HEADS)
    broken = as_torch_file(
        tmp_path / "nan.pth", official_state("mar") | {"fake_latent": torch.full((1, 32), torch.nan)}
    )
    with pytest.raises(CheckpointError, match="null_condition is not finite"):
        import_mar(broken, tmp_path / "out", tokenizer, heads=HEADS)
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_must_fit(tmp_path: Path, tokenizer: Path) -> None:
    source = as_torch_file(tmp_path / "mar.pth", official_state("mar"))
    with pytest.raises(CheckpointError, match=r"mar\.pth: architecture\.channels is 1, but its tokenizer has 4"):
        import_mar(source, tmp_path / "out", tokenizer, heads=HEADS, patch=2)
    large = tmp_path / "large"
    import_kl(as_torch_file(tmp_path / "kl16.ckpt", {"model": official_state("vae")}), large, resolution=64)
    with pytest.raises(CheckpointError, match=r"are for 4x4 latents, its tokenizer makes \d+x\d+ of 64 pixels"):
        import_mar(source, tmp_path / "out", large, heads=HEADS)
    with pytest.raises(CheckpointError, match="a mar needs a tokenizer of kind kl"):
        import_mar(source, tmp_path / "out", tiny_checkpoint(tmp_path) / "tokenizer", heads=HEADS)
    assert not (tmp_path / "out").exists()


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    source = as_torch_file(tmp_path / "evil.pth", {"model_ema": {}, "args": Namespace(x=Trap(tmp_path / "sprung"))})
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        read_mar(source, HEADS)
    assert not (tmp_path / "sprung").exists()
