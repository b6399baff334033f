"""Folders of diffusers' AutoencoderKL: the numbers are its own, conversion is strict."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import CheckpointError, read_config
from models.tokenizers.kinds import load_tokenizer
from models.tokenizers.kl_folder_importer import import_diffusers_kl
from tests.cli import run
from tests.vq_folder import save_kl, save_vq


@pytest.mark.parametrize(
    "changes", [{}, {"layers_per_block": 2, "scaling_factor": 0.5, "in_channels": 1, "out_channels": 1}]
)
@torch.no_grad()
def test_pixels_and_latents_are_those_of_diffusers(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = save_kl(tmp_path / "pipeline" / "vae", **changes)
    out = tmp_path / "out"
    made = run("import", "diffusers-kl", tmp_path / "pipeline", out, "--resolution", 32)
    assert made.exit_code == 0, made.output
    ours, scale = load_tokenizer(out), model.config.scaling_factor
    assert read_config(out).architecture["resolution"] == 32 and ours.config.grid == (8, 8)
    images = torch.rand(2, model.config.in_channels, 32, 32)
    latents = model.encode(images * 2 - 1).latent_dist.mean * scale
    torch.testing.assert_close(ours.encode(images), latents, atol=1e-5, rtol=1e-5)
    pixels = model.decode(latents / scale).sample
    torch.testing.assert_close(ours.decode(latents), ((pixels + 1) / 2).clamp(0, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shift_factor": 0.1}, "not supported: shift_factor 0.1"),
        ({"mid_block_add_attention": False}, "not supported: mid_block_add_attention False"),
        (
            {"up_block_types": ["UpDecoderBlock2D"] * 2 + ["AttnUpDecoderBlock2D"]},
            "up_block_types AttnUpDecoderBlock2D",
        ),
        ({"strange": 1}, "not supported: strange"),
        ({"out_channels": 1}, "in_channels is 3, but out_channels 1"),
        ({"norm_num_groups": 5}, "no multiple of norm_num_groups 5"),
        ({"latent_channels": 5}, "wrong shape"),
        ({"sample_size": None}, "give the resolution"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    save_kl(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_diffusers_kl(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_other_models_and_nothing_are_refused(tmp_path: Path) -> None:
    save_vq(tmp_path / "vq")
    with pytest.raises(CheckpointError, match="needs an AutoencoderKL, this is VQModel"):
        import_diffusers_kl(tmp_path / "vq", tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"no config\.json of a diffusers model"):
        import_diffusers_kl(tmp_path / "absent", tmp_path / "out")
