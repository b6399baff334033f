"""A codec with its first codebooks alone hears, and makes, what the whole one does of these."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig
from models.tokenizers.coarser import keep_codebooks
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.codecs import build_codec, codec_family, load_codec
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.spectral_config import SpectralConfig
from models.weights import save_checkpoint

SPECTRAL = SpectralConfig(
    sample_rate=8000, window=256, stride=80, dimension=8, encoder_width=8, encoder_depths=(1, 1), decoder_width=8,
    decoder_depths=(1, 1), codebook_size=16,
)  # fmt: skip


@pytest.mark.parametrize("sizes", [SPECTRAL, replace(EnCodecConfig.preset("tiny"), codebooks=4)])
def test_the_first_codebooks_stay_as_they_are(tmp_path: Path, sizes: CodecConfig) -> None:
    torch.manual_seed(0)
    codec = build_codec(sizes)
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()
    card = CheckpointConfig(
        family=codec_family(sizes),
        architecture=architecture_dict(sizes),
        licence="Apache-2.0",  # type: ignore[arg-type]
    )
    save_checkpoint(tmp_path / "whole", card, codec.state_dict(), torch.float32)
    keep_codebooks(tmp_path / "whole", tmp_path / "coarse", 2)
    whole, coarse = load_codec(tmp_path / "whole").eval(), load_codec(tmp_path / "coarse").eval()
    assert coarse.config.codebooks == 2 and len(coarse.quantizer.layers) == 2
    wave = torch.randn(1, sizes.channels, sizes.sample_rate // 2) * 0.1
    with torch.no_grad():
        ids = whole.encode(wave)
        assert torch.equal(coarse.encode(wave), ids[:, :2])
        assert torch.equal(coarse.decode(ids[:, :2]), whole.decode(ids[:, :2]))
    with pytest.raises(ValueError, match="first 1 to 2 can be kept, not 3"):
        keep_codebooks(tmp_path / "coarse", tmp_path / "no", 3)
