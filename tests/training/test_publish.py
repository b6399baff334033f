"""Publishing: a measured copy with new defaults, pictures, curves and a card."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import problems, read_config
from models.mar.config import MARConfig
from models.maskgit.config import UViTConfig
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.vqgan_config import VQGANConfig
from tests.tiny import tiny_checkpoint, tiny_mar_checkpoint
from training.data.images import ImageSet
from training.evaluate.classifier import Classifier
from training.evaluate.publish import publish
from training.evaluate.yardstick import Yardstick


def random_set(count: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)
    return ImageSet(images, torch.arange(count) % 2, ("a", "b"))


def maskgit(place: Path) -> Path:
    vq = VQGANConfig(1, 8, (1, 1), 1, 1, 8, 16, 16, norm_groups=4)
    return tiny_checkpoint(place, network=UViTConfig(16, (8, 8), 2, dim=16, depth=2, heads=2), tokenizer=vq)


def mar(place: Path) -> Path:
    return tiny_mar_checkpoint(
        place,
        network=replace(MARConfig.preset("tiny"), num_classes=2),
        tokenizer=replace(KLConfig.preset("tiny"), in_channels=1),
    )


@pytest.mark.parametrize(
    ("make", "loss", "says"),
    [(maskgit, "masked", "of the codes in use"), (mar, "mse", "MAR over continuous image tokens")],
)
def test_a_checkpoint_is_copied_measured_and_described(
    make: Callable[[Path], Path], loss: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "run")
    lines = [{"step": step, f"loss/{loss}": 3.0 - step / 10} for step in range(4)]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    yardstick = Yardstick(Classifier(2, 1).eval(), random_set(60, 0), random_set(50, 1), "Fashion-MNIST")
    monkeypatch.setattr("training.evaluate.publish.fashion", lambda data_dir: yardstick)

    out = tmp_path / "toy"
    publish(source, out, {"generator": tmp_path / "run"}, "By hand.", {"num_inference_steps": "2"}, count=20)

    assert problems(out) == [] and read_config(source).metrics == {}
    made = read_config(out)
    assert made.decoding["num_inference_steps"] == 2 and made.metrics["count"] == 20
    assert {"fid_cls", "kid_cls", "accuracy", "precision"} <= set(made.metrics["samples"])
    assert {"fid_floor", "rfid_cls", "rfid_cls_paired", "accuracy_real"} <= set(made.metrics["tokenizer"])
    card = (out / "README.md").read_text()
    assert card.startswith("# toy\n") and "recipe `random weights`" in card and says in card
    assert "## Training\n\nBy hand.\n" in card
    for name in ("samples.png", "neighbours.png", "curves-generator.png"):
        assert f"({name})" in card and (out / name).is_file()
    assert "num_inference_steps 2" in card and "These are the checkpoint's defaults." in card
    assert "| FID-cls |" in card and "| classifier agrees (%) |" in card and "--data DIR" not in card
    assert json.loads((out / "metrics.json").read_text())["samples"] == made.metrics["samples"]
