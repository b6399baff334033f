"""The VQGAN against numbers of the JAX implementation, whose middle has `num_res_blocks` blocks."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig

FIXTURES = Path(__file__).parents[2] / "parity" / "maskgit"
CONFIG = VQGANConfig(
    ch=32, ch_mult=(2, 1), num_res_blocks=1, mid_blocks=1, z_channels=16, codebook_size=40,
    resolution=8,
)  # fmt: skip
PLACES = {
    "encoder/Conv_0": "encoder.conv_in",
    "encoder/Conv_1": "encoder.conv_out",
    "encoder/GroupNorm_0": "encoder.norm_out",
    "encoder/ResBlock_0": "encoder.down.0.block.0",
    "encoder/ResBlock_1": "encoder.down.1.block.0",
    "encoder/ResBlock_2": "encoder.mid.block_1",
    "decoder/Conv_0": "decoder.conv_in",
    "decoder/Conv_1": "decoder.up.1.upsample.conv",
    "decoder/Conv_2": "decoder.conv_out",
    "decoder/GroupNorm_0": "decoder.norm_out",
    "decoder/ResBlock_0": "decoder.mid.block_1",
    "decoder/ResBlock_1": "decoder.up.1.block.0",
    "decoder/ResBlock_2": "decoder.up.0.block.0",
}
PARTS = {
    "GroupNorm_0": "norm1", "Conv_0": "conv1", "GroupNorm_1": "norm2", "Conv_1": "conv2",
    "Conv_2": "nin_shortcut",
}  # fmt: skip


def from_flax(params: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {"quantize.embedding.weight": params.pop("params/quantizer/codebook").float()}
    for key, value in params.items():
        _, half, module, *inner, leaf = key.split("/")
        name = ".".join([PLACES[f"{half}/{module}"], *(PARTS[part] for part in inner)])
        kind = "bias" if leaf == "bias" else "weight"
        kernel = value.permute(3, 2, 0, 1) if leaf == "kernel" else value  # HWIO -> OIHW
        state[f"{name}.{kind}"] = kernel.float()
    return state


@torch.no_grad()
def test_jax_numbers() -> None:
    model = VQGAN(CONFIG).eval()
    model.load_state_dict(from_flax(load_file(FIXTURES / "flax_tokenizer_params.safetensors")))
    io = load_file(FIXTURES / "flax_io.safetensors")
    images = io["tok_image_nhwc"].permute(0, 3, 1, 2)
    assert torch.equal(model.encode(images), io["tok_encode_ids"].flatten(1).long())
    decoded = model.decode_features(model.embed(io["tok_codes"].flatten(1).long()))
    expected = io["tok_decoded_nhwc"].permute(0, 3, 1, 2)
    torch.testing.assert_close(decoded, expected, atol=1e-4, rtol=0)
