"""Checkpoint directories: what is written comes back, and what is wrong is said in one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    DataSource,
    checkpoint_hash,
    json_schema,
    problems,
    read_config,
    tensor_shapes,
)
from models.weights import load_module, load_state, save_checkpoint

TOKENIZER = CheckpointConfig(family="vqgan", architecture={"ch": 8}, licence="Apache-2.0")
CONFIG = CheckpointConfig(
    family="maskgit",
    architecture={"dim": 32},
    tokenizer="tokenizer",
    classes=["cat", "dog"],
    decoding={"temperature": 1.0},
    data=[DataSource(name="pets", licence="CC0-1.0", credit="nobody")],
    licence="Apache-2.0",
)


def net(width: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    directory = tmp_path / "pets"
    save_checkpoint(directory, CONFIG, net().state_dict(), torch.float32)
    save_checkpoint(directory / "tokenizer", TOKENIZER, net().state_dict())
    return directory


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_there_and_back(saved: Path) -> None:
    assert read_config(saved) == CONFIG
    assert problems(saved) == []
    state = load_state(saved)
    assert state.keys() == net().state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in net().state_dict().items())
    assert sorted(p.name for p in saved.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer",
    ]


def test_half_precision_is_stored_and_read_as_float32(saved: Path) -> None:
    state = load_state(saved / "tokenizer")
    weight = net().state_dict()["0.weight"]
    assert state["0.weight"].dtype == torch.float32
    assert torch.equal(state["0.weight"], weight.half().float())
    assert not torch.equal(state["0.weight"], weight)
    assert state["1.num_batches_tracked"].dtype == torch.int64


def test_values_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"big is not finite as torch\.float16"):
        save_checkpoint(tmp_path, TOKENIZER, {"big": torch.tensor([1e6])})
    assert not (tmp_path / "model.safetensors").exists()


def test_a_module_is_filled(saved: Path) -> None:
    module = net()
    nn.init.zeros_(module[0].weight)
    assert load_module(module, saved) is module
    assert torch.equal(module[0].weight, net()[0].weight)
    assert not module.training


def test_a_module_that_does_not_fit_names_the_keys(saved: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_module(net(4), saved)
    message = str(caught.value)
    assert "wrong shape 0.weight is [3, 2], not [4, 2]" in message
    assert "and 3 more" in message
    with pytest.raises(CheckpointError, match=r"missing weight, bias; unexpected 0\.bias, "):
        load_module(nn.Linear(2, 3), saved)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "format: Input should be 1"),
        ({"clases": []}, "clases: Extra inputs are not permitted"),
        ({"quality": {"best": 3}}, "quality.best"),
        ({"data": [{"name": "x"}]}, "data.0.licence: Field required"),
        ({"tokenizer": "/elsewhere"}, "tokenizer: must be a relative path"),
        ({"tokenizer": "."}, "its tokenizer . is no tokenizer"),
        ({"tokenizer": "../shared"}, "its tokenizer ../shared is missing"),
    ],
)
def test_a_wrong_config_is_one_line(saved: Path, change: dict[str, Any], sentence: str) -> None:
    edit(saved, **change)
    (line,) = problems(saved)
    assert sentence in line
    assert str(saved) in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "{", "[]", '{"family": "maskgit"', "\xff"])
def test_what_is_no_config_is_one_line(saved: Path, text: str) -> None:
    (saved / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError) as caught:
        read_config(saved)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: No such file or directory"):
        read_config(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_weights_are_one_line(saved: Path, kept: int) -> None:
    path = saved / "tokenizer" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    (line,) = problems(saved)
    assert f"{path}: truncated or damaged" in line
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_state(saved / "tokenizer")


def test_missing_weights_and_repeated_tensors(saved: Path) -> None:
    weights = saved / "model.safetensors"
    (saved / "other.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(CheckpointError, match="is also in another file"):
        tensor_shapes(saved)
    (saved / "other.safetensors").unlink()
    weights.unlink()
    assert problems(saved) == [f"{saved}: no *.safetensors file"]


def test_a_tokenizer_can_be_shared(saved: Path) -> None:
    shared = saved.parent / "shared"
    (saved / "tokenizer").rename(shared)
    edit(saved, tokenizer="../shared")
    assert problems(saved) == []


def test_the_hash_follows_every_byte_that_matters(saved: Path) -> None:
    first = checkpoint_hash(saved)
    assert len(first) == 16
    (saved / "README.md").write_text("card")
    assert checkpoint_hash(saved.rename(saved.parent / "renamed")) == first
    saved = saved.parent / "renamed"
    weights = saved / "tokenizer" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    second = checkpoint_hash(saved)
    edit(saved, licence="MIT")
    assert len({first, second, checkpoint_hash(saved)}) == 3


def test_the_schema_names_every_key() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(CheckpointConfig.model_fields)
    assert set(schema["required"]) == {"family", "architecture", "licence"}


def test_configs_are_read_without_torch() -> None:
    code = (
        "import sys, models.checkpoint, models.maskgit.consistency, models.importing;assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
