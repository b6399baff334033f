"""Official files -> checkpoint directories, with every key and setting accounted for."""

from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.checkpoint import CheckpointError, problems, read_config
from models.mcvd.config import MCVDConfig
from models.mcvd.importer import import_mcvd, read_mcvd
from models.mcvd.keys import official_names
from models.mcvd.network import MCVD
from models.weights import load_module
from tests.models.mcvd.build import FIXTURES, NAMES, described

LAYOUT = FIXTURES / "official_checkpoint_layout"
CHECKPOINT = LAYOUT / "checkpoint_3.pt"


def content() -> list[Any]:
    found: list[Any] = torch.load(CHECKPOINT, weights_only=True)
    return found


def settings() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((LAYOUT / "config.yml").read_text())
    return found


def files(place: Path, what: Any = None, said: Any = None) -> Path:
    """A checkpoint with its settings beside it."""
    torch.save(content() if what is None else what, place / "checkpoint_9.pt")
    (place / "config.yml").write_text(yaml.dump(settings() if said is None else said))
    return place / "checkpoint_9.pt"


def output(network: MCVD) -> Tensor:
    io = load_file(LAYOUT / "checkpoint_3.io.safetensors")
    with torch.no_grad():
        return network(io["x"], io["t"], network.condition(io["cond"]))


def test_a_training_checkpoint_becomes_a_working_one(tmp_path: Path) -> None:
    out = tmp_path / "models" / "mcvd"
    report = import_mcvd(CHECKPOINT, out)
    assert (report.tensors, report.parameters, report.dropped) == (132, 7830, ())
    config = read_config(out)
    assert (config.family, config.tokenizer, config.training) == ("mcvd", None, {"imported_from": "checkpoint_3.pt"})
    assert problems(out) == []
    network = load_module(MCVD(MCVDConfig.from_dict(config.architecture)), out)
    io = load_file(LAYOUT / "checkpoint_3.io.safetensors")
    torch.testing.assert_close(output(network), io["out_ema_weights"], atol=3e-6, rtol=0)


def test_without_averaged_weights_the_trained_ones_are_taken(tmp_path: Path) -> None:
    config, state = read_mcvd(files(tmp_path, content()[:4]))
    network = MCVD(config).eval()
    network.load_state_dict(state)
    io = load_file(LAYOUT / "checkpoint_3.io.safetensors")
    torch.testing.assert_close(output(network), io["out_raw_weights"], atol=3e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_bare_state_dicts(tmp_path: Path, name: str) -> None:
    said = described(name)["config"]
    (tmp_path / "config.yml").write_text(yaml.dump(said))
    config, state = read_mcvd(FIXTURES / f"{name}.weights.safetensors", tmp_path / "config.yml")
    assert config.spade == (name == "spade") and state.keys() == MCVD(config).state_dict().keys()


@pytest.mark.parametrize("preset", ["smmnist", "smmnist-spade", "kth", "bair"])
def test_names_of_the_real_files_are_used_up(preset: str) -> None:
    """tests/models/mcvd/test_config.py compares them with the manifests, one by one."""
    config = MCVDConfig.preset(preset)
    official = official_names(config)
    with torch.device("meta"):
        keys = list(MCVD(config).state_dict())
    assert len({official(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("whole", [False, True])
def test_settings_that_hold_namespaces_are_data(tmp_path: Path, whole: bool) -> None:
    said: Any = {section: Namespace(**values) for section, values in settings().items()}
    said["model"].ch_mult = tuple(said["model"].ch_mult)
    source = files(tmp_path, said=Namespace(**said) if whole else said)
    text = (tmp_path / "config.yml").read_text()
    assert text.count("!!python/object:argparse.Namespace") == (8 if whole else 7) and "!!python/tuple" in text
    assert read_mcvd(source)[0] == read_mcvd(CHECKPOINT)[0]


def test_nothing_is_executed(tmp_path: Path) -> None:
    source = files(tmp_path)
    trap = tmp_path / "sprung"
    with (tmp_path / "config.yml").open("a") as file:
        file.write(f"device: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{trap}]]\n")
        file.write(f"other: !!python/object/new:os.system [touch {trap}]\nname: !!python/name:os.system ''\n")
    read_mcvd(source)
    assert not trap.exists()
    torch.save([Trap(trap)], source)
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        read_mcvd(source)
    assert not trap.exists()


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_older_settings(tmp_path: Path) -> None:
    said = settings()
    for name in ("spade_dim", "cond_emb", "spade"):
        del said["model"][name]
    for name in ("num_frames_future", "prob_mask_future", "prob_mask_sync", "prob_mask_cond"):
        del said["data"][name]
    said["model"]["gff"] = True
    assert read_mcvd(files(tmp_path, said=said))[0] == read_mcvd(CHECKPOINT)[0]


def test_older_names_of_the_last_norm(tmp_path: Path) -> None:
    parts = content()
    for key in [key for key in parts[4] if ".Norm_0." in key]:
        parts[4][key.replace("Norm_0.", "")] = parts[4].pop(key)
    _, state = read_mcvd(files(tmp_path, parts))
    wanted = read_mcvd(CHECKPOINT)[1]
    assert all(torch.equal(value, wanted[key]) for key, value in state.items())


def test_masks_and_noise_levels_come_from_the_settings(tmp_path: Path) -> None:
    said, parts = settings(), content()
    said["data"] |= {"prob_mask_cond": 0.5, "prob_mask_sync": True}
    said["model"] |= {"sigma_dist": "cosine"}
    parts[0] = OrderedDict((key, value) for key, value in parts[0].items() if "all_modules" in key)
    found = read_mcvd(files(tmp_path, parts, said))[0]
    assert found == replace(read_mcvd(CHECKPOINT)[0], mask_past=0.5, mask_together=True, betas="cosine")


PREFIX = r"unet\.all_modules\."


def changed(drop: str, **add: Tensor) -> list[Any]:
    parts = content()
    parts[4] = {key: value for key, value in parts[4].items() if key != drop} | add
    return parts


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("unet.all_modules.0.bias", {}, f"missing {PREFIX}0.bias$"),
        ("unet.all_modules.6.NIN_1.W", {}, rf"missing {PREFIX}6\.NIN_1\.W$"),
        ("unet.all_modules.16.Norm_0.weight", {}, rf"missing {PREFIX}16\.Norm_0\.weight$"),
        ("", {"unet.all_modules.99.weight": torch.zeros(1)}, rf"unexpected {PREFIX}99\.weight$"),
        ("", {"stranger": torch.zeros(1)}, "unexpected stranger$"),
        (
            "",
            {"unet.all_modules.2.weight": torch.zeros(4, 3, 3, 3)},
            rf"wrong shape {PREFIX}2\.weight is \[4, 3, 3, 3\]",
        ),
        ("", {"unet.all_modules.6.NIN_1.W": torch.zeros(4, 5)}, rf"wrong shape {PREFIX}6\.NIN_1\.W is \[4, 5\]"),
        (
            "",
            {"unet.all_modules.3.actnorm0.Norm_0.mlp_gamma.bias": torch.zeros(4)},
            "model.spade is False, but the weight",
        ),
    ],
)
def test_every_key_is_accounted_for(tmp_path: Path, drop: str, add: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_mcvd(files(tmp_path, changed(drop, **add)), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("model", {"arch": "unetmore3d"}, r"config\.yml: model\.arch is unetmore3d, not unetmore"),
        ("model", {"version": "SMLD"}, r"model\.version is SMLD, not DDPM"),
        ("model", {"gamma": True}, r"model\.gamma is True, not False"),
        ("model", {"noise_in_cond": True}, r"model\.noise_in_cond is True, not False"),
        ("model", {"output_all_frames": True}, r"model\.output_all_frames is True, not False"),
        ("model", {"time_conditional": False}, r"model\.time_conditional is False, not True"),
        ("data", {"rescaled": False}, r"data\.rescaled is False, not True"),
        ("model", {"ngf": None}, r"config\.yml: missing model\.ngf$"),
        ("model", {"ngf": None, "n_head_channels": None}, r"missing model\.ngf, model\.n_head_channels$"),
        ("model", {"ngf": "wide"}, r"config\.yml: model\.ngf: Input should be a valid integer"),
        ("data", {"prob_mask_cond": 2.0}, r"data\.prob_mask_cond: Input should be less than or equal to 1"),
        ("model", {"sigma_dist": "geometric"}, r"model\.sigma_dist: Input should be 'linear' or 'cosine'"),
        ("model", {"n_head_channels": 3}, "4 channels are no multiple of head_channels 3"),
        ("model", {"sigma_begin": 0.03}, r"checkpoint_9\.pt: betas is not what model\.sigma_\* and num_classes"),
        ("model", {"num_classes": 500}, r"checkpoint_9\.pt: betas is not what"),
        ("model", {"ngf": 8}, rf"wrong shape {PREFIX}0\.weight is \[16, 4\], not \[32, 8\]"),
        ("data", {"num_frames_future": 1}, rf"wrong shape {PREFIX}2\.weight is \[4, 4, 3, 3\], not \[4, 5, 3, 3\]"),
        ("model", {"cond_emb": True}, rf"wrong shape {PREFIX}2\.weight is \[4, 4, 3, 3\], not \[2, 2\]"),
        ("model", {"spade": True}, r"config\.yml: model\.spade is True, but the weights of checkpoint_9\.pt say False"),
    ],
)
def test_settings_are_checked(tmp_path: Path, section: str, change: dict[str, Any], sentence: str) -> None:
    said = settings()
    said[section] |= change
    with pytest.raises(CheckpointError, match=sentence) as caught:
        read_mcvd(files(tmp_path, said=said))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", r"config\.yml: no YAML: while parsing"),
        ("a: !strange 1", "could not determine a constructor"),
        ("just words", "holds no settings"),
        ("", "holds no settings"),
        ("data: 3\nmodel: 4", r"model\.arch is None, not unetmore"),
        ("\x00", "no YAML: unacceptable character"),
    ],
)
def test_damaged_settings(tmp_path: Path, text: str, sentence: str) -> None:
    source = files(tmp_path)
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        read_mcvd(source)
    assert "\n" not in str(caught.value)


def test_truncated_missing_and_foreign_files(tmp_path: Path) -> None:
    source = files(tmp_path)
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match=r"checkpoint_9\.pt: cannot be read as plain weights"):
        read_mcvd(source)
    with pytest.raises(CheckpointError, match=r"nothing\.pt: No such file"):
        read_mcvd(tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint_9\.pt: not tensors: epoch"):
        read_mcvd(files(tmp_path, {"epoch": 3}))
    with pytest.raises(CheckpointError, match=r"checkpoint_9\.pt: holds a int, not a state dict"):
        read_mcvd(files(tmp_path, [3, 4]))
    source = files(tmp_path)
    (tmp_path / "config.yml").unlink()
    with pytest.raises(CheckpointError, match=r"config\.yml: No such file"):
        read_mcvd(source)
    state = {key: value.clone() for key, value in content()[4].items()}
    save_file(state, tmp_path / "bare.safetensors")
    assert read_mcvd(tmp_path / "bare.safetensors", LAYOUT / "config.yml")[0] == read_mcvd(CHECKPOINT)[0]
