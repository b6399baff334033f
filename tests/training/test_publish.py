"""Publishing: a measured copy with new defaults, pictures, curves and a card."""

import json
from pathlib import Path

import pytest
import torch

from models.checkpoint import CheckpointConfig, problems, read_config
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint
from training.data.images import ImageSet
from training.evaluate.classifier import Classifier
from training.evaluate.publish import publish
from training.evaluate.yardstick import Yardstick


def random_set(count: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)
    return ImageSet(images, torch.arange(count) % 2, ("a", "b"))


def test_a_checkpoint_is_copied_measured_and_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vq = VQGANConfig(1, 8, (1, 1), 1, 1, 8, 16, 16, norm_groups=4)
    uvit = UViTConfig(16, (8, 8), 2, dim=16, depth=2, heads=2)
    source = tmp_path / "run" / "checkpoint"
    sizes = {"in_channels": 1, "ch": 8, "ch_mult": [1, 1], "num_res_blocks": 1, "mid_blocks": 1, "z_channels": 8}
    sizes |= {"codebook_size": 16, "resolution": 16, "norm_groups": 4}
    config = CheckpointConfig(family="vqgan", architecture=sizes, licence="MIT")
    save_checkpoint(source / "tokenizer", config, VQGAN(vq).state_dict())
    sizes = {"codebook_size": 16, "grid": [8, 8], "num_classes": 2, "dim": 16, "depth": 2, "heads": 2}
    config = CheckpointConfig(
        family="maskgit", architecture=sizes, tokenizer="tokenizer", classes=["a", "b"], licence="MIT",
        training={"recipe": "toy"},
    )  # fmt: skip
    save_checkpoint(source, config, UViT(uvit).state_dict())
    lines = [{"step": step, "loss/masked": 3.0 - step / 10} for step in range(4)]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    yardstick = Yardstick(Classifier(2, 1).eval(), random_set(60, 0), random_set(50, 1), "Fashion-MNIST")
    monkeypatch.setattr("training.evaluate.publish.fashion", lambda data_dir: yardstick)

    out = tmp_path / "toy"
    publish(source, out, {"generator": tmp_path / "run"}, "By hand.", {"num_inference_steps": "2"}, count=20)

    assert problems(out) == [] and read_config(source).metrics == {}
    made = read_config(out)
    assert made.decoding == {"num_inference_steps": 2} and made.metrics["count"] == 20
    assert {"fid_cls", "kid_cls", "accuracy", "precision"} <= set(made.metrics["samples"])
    assert {"fid_floor", "rfid_cls", "rfid_cls_paired", "accuracy_real"} <= set(made.metrics["tokenizer"])
    card = (out / "README.md").read_text()
    assert card.startswith("# toy\n") and "recipe `toy`" in card and "## Training\n\nBy hand.\n" in card
    for name in ("samples.png", "neighbours.png", "curves-generator.png"):
        assert f"({name})" in card and (out / name).is_file()
    assert "num_inference_steps 2" in card and "These are the checkpoint's defaults." in card
    assert "| FID-cls |" in card and "| classifier agrees (%) |" in card and "--data DIR" not in card
    assert json.loads((out / "metrics.json").read_text())["samples"] == made.metrics["samples"]
