"""What a MAR directory says of itself, and why one is not served."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.catalogue import Catalogue
from models.checkpoint import CONFIG
from models.family import families
from tests.tiny import tiny_checkpoint, tiny_mar_checkpoint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tiny_mar_checkpoint(tmp_path)


def rewrite(directory: Path, **changes: Any) -> None:
    """Fields of config.json; nested ones are merged."""
    values = json.loads((directory / CONFIG).read_text())
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    (directory / CONFIG).write_text(json.dumps(values))


def why(directory: Path) -> str:
    [reason] = Catalogue.scan([directory]).broken.values()
    return reason


def test_it_is_served_as_what_it_is(directory: Path) -> None:
    [entry] = Catalogue.scan([directory]).entries.values()
    spec = entry.spec
    assert (spec.id, spec.family, spec.size, spec.grid, spec.min_steps, spec.max_steps) == (
        "tiny-mar", "mar", (16, 16), (4, 4), 1, 16,
    )  # fmt: skip
    assert spec.guidable and spec.tasks == {"generate", "edit", "variation"}
    assert spec.max_diffusion_steps == 1000 and spec.sampling.diffusion_steps == 8, "the architecture's own"
    assert "diffusion_steps" in spec.parameters and "top_k" not in spec.parameters
    assert families()["mar"].understand(spec, "an ankle boot").condition == 2


def test_a_model_of_one_class_is_not_guidable(tmp_path: Path) -> None:
    from models.mar.config import MARConfig

    network = MARConfig(**{**vars(MARConfig.preset("tiny")), "num_classes": 1})
    directory = tiny_mar_checkpoint(tmp_path, network=network)
    [entry] = Catalogue.scan([directory]).entries.values()
    assert not entry.spec.guidable
    rewrite(directory, decoding={"guidance_scale": 2.0})
    assert "decoding.guidance_scale is 2.0, but the model cannot be guided" in why(directory)


def test_steps_beyond_a_small_grid_are_cut(directory: Path) -> None:
    rewrite(directory, decoding={"num_inference_steps": 64}, quality={"low": 4, "medium": 32, "high": 64})
    [entry] = Catalogue.scan([directory]).entries.values()
    assert entry.spec.sampling.num_inference_steps == 16 and entry.spec.quality == {"low": 4, "medium": 16, "high": 16}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": {"channels": 5}}, "architecture.channels is 5, but its tokenizer has 4"),
        ({"architecture": {"grid": [8, 8]}}, "grid and patch are for 8x8 latents, its tokenizer makes 4x4 of 16"),
        ({"architecture": {"patch": 2}}, "grid and patch are for 8x8 latents"),
        ({"architecture": {"encoder_heads": 5}}, "encoder_dim 32 is no multiple of encoder_heads 5"),
        ({"architecture": {"diffusion_steps": 1001}}, "diffusion_steps 1001 is outside 2 to train_steps 1000"),
        ({"architecture": {"depth": 3}}, "architecture.depth: unknown field"),
        ({"decoding": {"diffusion_steps": 1}}, "decoding.diffusion_steps is 1, outside 2 to 1000"),
        ({"decoding": {"diffusion_reuse": 1.5}}, "decoding.diffusion_reuse is 1.5"),
        ({"decoding": {"num_inference_steps": 0}}, "decoding.num_inference_steps is 0"),
        ({"decoding": {"diffusion_clip": -1.0}}, "decoding.diffusion_clip is -1.0"),
        ({"decoding": {"temperature": -1.0}}, "decoding.temperature is -1.0"),
        ({"decoding": {"temperature": float("nan")}}, "decoding.temperature is nan"),
        ({"decoding": {"guidance_scale": float("inf")}}, "decoding.guidance_scale is inf"),
        ({"decoding": {"reuse": 20}}, "decoding.reuse is 20, more than 8"),
        ({"decoding": {"top_k": 5}}, "decoding.top_k has no effect on a mar"),
        ({"decoding": {"schedule": "steep"}}, "schedule is cosine"),
        ({"classes": ["one", "two"]}, "num_classes is 4, but the names listed are 2"),
    ],
)
def test_what_cannot_work_is_named(directory: Path, changes: dict[str, Any], sentence: str) -> None:
    rewrite(directory, **changes)
    assert sentence in why(directory) and "\n" not in why(directory)


def test_tokenizers_of_the_wrong_kind_are_named(tmp_path: Path, directory: Path) -> None:
    codes = tiny_checkpoint(tmp_path)
    rewrite(directory, tokenizer="../tiny/tokenizer")
    assert "a mar needs a tokenizer of kind kl" in why(directory)
    rewrite(codes, tokenizer="../tiny-mar/tokenizer")
    assert "a maskgit needs a tokenizer with codes" in why(codes)
