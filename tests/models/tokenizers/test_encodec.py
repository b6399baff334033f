"""EnCodec: the recorded numbers, conversion strict both ways, a waveform does not depend on its neighbours."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import CheckpointError, read_config
from models.tokenizers.codec import Codec
from models.tokenizers.codecs import load_codec, read_codec
from models.tokenizers.encodec import EnCodec
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.encodec_importer import import_encodec, official_key
from tests.models.magnet.build import RECORDED, codec_settings, official_state, recorded, write_export

CODEC = RECORDED["codec"]
close = partial(torch.testing.assert_close, atol=2e-6, rtol=0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_export(tmp_path / "compression_state_dict.bin", official_state("codec"), codec_settings())


@pytest.fixture
def codec(tmp_path: Path, source: Path) -> Codec:
    import_encodec(source, tmp_path / "codec", licence="CC-BY-NC-4.0")
    return load_codec(tmp_path / "codec")


def test_sizes_are_read(codec: Codec) -> None:
    config = codec.config
    assert config.ratios == tuple(CODEC["ratios"]) and config.pad_mode == CODEC["pad_mode"]
    assert (config.codebooks, config.codebook_size) == (CODEC["n_q"], CODEC["bins"])
    assert (config.hop, config.frame_rate) == (CODEC["measured"]["hop"], CODEC["measured"]["frame_rate"])
    assert config.frames(CODEC["n_samples"]) == CODEC["measured"]["n_frames"]


@torch.no_grad()
def test_the_recorded_numbers(codec: Codec) -> None:
    io = recorded("codec")
    close(codec.encoder(io["wav_in"]), io["encoder_out"], atol=2e-5)
    codes = codec.encode(io["wav_in"])
    assert torch.equal(codes, io["codes"].long())
    close(codec.quantizer.decode(codes.transpose(0, 1)), io["latent"])
    close(codec.decode(codes), io["wav_out"])
    close(codec.decode(io["rand_codes"].long()), io["rand_wav_out"])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_waveform_does_not_know_its_neighbours(codec: Codec, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    waveforms, ids = torch.randn(5, 1, 300), torch.randint(CODEC["bins"], (5, CODEC["n_q"], 13))
    for function, rows in ((codec.encode, waveforms), (codec.decode, ids), (codec.decode, ids[:, :2])):
        whole = function(rows)
        assert all(torch.equal(function(rows[at : at + 1]), whole[at : at + 1]) for at in range(len(rows)))
    torch.set_num_threads(before)


@pytest.mark.parametrize("samples", [1, 47, 48, 49, 600])
def test_any_length_there_and_back(codec: Codec, samples: int) -> None:
    ids = codec.encode(torch.randn(1, 1, samples))
    assert ids.shape == (1, CODEC["n_q"], codec.config.frames(samples))
    assert codec.decode(ids).shape == (1, 1, ids.shape[2] * codec.config.hop)


@pytest.mark.parametrize(("name", "size"), [("encodec-32khz", 235_960_088), ("encodec-16khz", 235_697_944)])
def test_the_published_sizes(name: str, size: int) -> None:
    config = EnCodecConfig.preset(name)
    with torch.device("meta"):
        state = EnCodec(config).state_dict()
    assert sum(value.nbytes for value in state.values()) == size
    names = [official_key(config, key) for key in state]
    assert len(set(names)) == len(state)
    expected = (
        "encoder.model.0.conv.conv.weight_g",
        "encoder.model.13.lstm.weight_hh_l1",
        "encoder.model.12.conv.conv.bias",
        "encoder.model.10.block.3.conv.conv.weight_v",
        "decoder.model.12.convtr.convtr.weight_v",
        "decoder.model.13.block.1.conv.conv.bias",
        "decoder.model.15.conv.conv.bias",
        "quantizer.vq.layers.3._codebook.embed_avg",
    )
    assert not set(expected) - set(names)
    assert config.frame_rate == 50


@pytest.mark.parametrize("change", [{}, {"residual_layers": 2}, {"pad_mode": "reflect", "shortcut": True}])
def test_there_and_back(tmp_path: Path, change: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = EnCodecConfig.from_dict({"channels": 2, "ratios": [4, 2, 3], "filters": 4, "codebook_size": 16} | change)
    original = EnCodec(config).eval()
    for layer in original.quantizer.layers:
        layer.codebook.embed.normal_()
    state = {official_key(config, key): value for key, value in original.state_dict().items()}
    settings = {
        "sample_rate": config.sample_rate,
        "channels": 2,
        "seanet": {
            "dimension": config.dimension, "n_filters": 4, "ratios": [4, 2, 3], "lstm": 2, "channels": "${channels}",
            "n_residual_layers": config.residual_layers, "true_skip": not config.shortcut, "pad_mode": config.pad_mode,
        },
        "rvq": {"n_q": 4, "bins": 16},
        "encodec": {"causal": False, "renormalize": False},
    }  # fmt: skip
    import_encodec(write_export(tmp_path / "codec.bin", state, settings), tmp_path / "codec")
    assert read_codec(tmp_path / "codec") == config
    again = load_codec(tmp_path / "codec")
    waveforms = torch.randn(1, 2, 100)
    ids = original.encode(waveforms)
    assert torch.equal(again.encode(waveforms), ids) and torch.equal(again.decode(ids), original.decode(ids))


@pytest.mark.parametrize(
    ("drop", "add", "sentence"),
    [
        ("encoder.model.0.conv.conv.bias", {}, r"missing encoder\.model\.0\.conv\.conv\.bias$"),
        ("decoder.model.3.convtr.convtr.weight_g", {}, r"missing decoder\.model\.3\.convtr\.convtr\.weight_g$"),
        ("quantizer.vq.layers.0._codebook.inited", {}, r"missing quantizer\.vq\.layers\.0\._codebook\.inited$"),
        ("", {"decoder.model.99.conv.conv.bias": torch.zeros(1)}, r"unexpected decoder\.model\.99\.conv\.conv\.bias$"),
        ("", {"encoder.model.0.conv.conv.bias": torch.zeros(3)}, r"wrong shape encoder\.model\.0\.conv\.conv\.bias is"),
    ],
)
def test_every_key_is_accounted_for(tmp_path: Path, drop: str, add: dict[str, Tensor], sentence: str) -> None:
    state = {key: value for key, value in official_state("codec").items() if key != drop} | add
    source = write_export(tmp_path / "codec.bin", state, codec_settings())
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_encodec(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("seanet", {"pad_mode": None}, "xp.cfg has no seanet.pad_mode"),
        ("seanet", {"norm": "time_group_norm"}, "seanet.norm time_group_norm is not supported"),
        ("seanet", {"pad_mode": "edge"}, r"architecture\.pad_mode"),
        ("encodec", {"renormalize": True}, "encodec.renormalize True is not supported"),
        ("encodec", {"causal": "${encodec.causal}"}, "encodec.causal refers to itself"),
        ("rvq", {"bins": 63}, "codebook_size 63 is no power of two"),
        ("rvq", {"n_q": None}, "xp.cfg has no rvq.n_q"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, section: str, change: dict[str, Any], sentence: str) -> None:
    settings = codec_settings()
    changed = {name: value for name, value in (settings[section] | change).items() if value is not None}
    source = write_export(tmp_path / "codec.bin", official_state("codec"), settings | {section: changed})
    with pytest.raises(CheckpointError, match=sentence) as caught:
        import_encodec(source, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_foreign_files(tmp_path: Path, source: Path) -> None:
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        import_encodec(source, tmp_path / "out")
    with pytest.raises(CheckpointError, match="No such file"):
        import_encodec(tmp_path / "nothing.bin", tmp_path / "out")
    for content, sentence in (
        ({"pretrained": "facebook/encodec_32khz"}, "holds no weights, but the name of some: facebook/encodec_32khz"),
        ({"best_state": {}}, "missing xp.cfg, so this is no export of audiocraft"),
        ([], "holds a list, not an export"),
        ({"best_state": {}, "xp.cfg": 3}, "xp.cfg is a int, not text"),
        ({"best_state": {}, "xp.cfg": "a: [1"}, "xp.cfg is no YAML"),
        ({"best_state": {}, "xp.cfg": "[1]"}, "xp.cfg is a list, not settings"),
        ({"best_state": {"epoch": 3}, "xp.cfg": "a: 1"}, "not tensors: epoch"),
    ):
        torch.save(content, tmp_path / "other.bin")
        with pytest.raises(CheckpointError, match=sentence) as caught:
            import_encodec(tmp_path / "other.bin", tmp_path / "out")
        assert "\n" not in str(caught.value)


def test_the_licence_is_recorded(tmp_path: Path, source: Path, codec: Codec) -> None:
    assert read_config(tmp_path / "codec").noncommercial
    import_encodec(source, tmp_path / "free", licence="MIT")
    assert not read_config(tmp_path / "free").noncommercial
