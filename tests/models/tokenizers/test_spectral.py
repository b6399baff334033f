"""The spectral codec: spectra there and back, any length, folders, and a sound does not know its neighbours."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.tokenizers.codec import Given
from models.tokenizers.codecs import build_codec, codec_family, load_codec, read_codec
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.spectral import Spectra, SpectralCodec
from models.tokenizers.spectral_config import SpectralConfig
from models.weights import save_checkpoint

TINY = SpectralConfig.preset("tiny")


@pytest.fixture
def codec() -> SpectralCodec:
    torch.manual_seed(0)
    codec = SpectralCodec(TINY).eval()
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()
    for learnt in (codec.encoder.out, codec.decoder.head):  # silent until they have learnt something
        torch.nn.init.normal_(learnt.weight, std=0.1)
    return codec


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 2000])
def test_any_length_there_and_back(codec: SpectralCodec, samples: int) -> None:
    ids = codec.encode(torch.randn(1, 1, samples))
    assert ids.shape == (1, TINY.codebooks, TINY.frames(samples))
    assert codec.decode(ids).shape == (1, 1, ids.shape[2] * TINY.hop)


@pytest.mark.parametrize("change", [{}, {"window": 320}, {"window": 640, "stride": 64, "spectra": 5}])
def test_spectra_give_the_samples_again(change: dict[str, Any]) -> None:
    config = SpectralConfig(**change)
    stft, wave = Spectra(config), torch.randn(2, 1, 7 * config.hop)
    spectra = stft.spectra(wave)
    assert spectra.shape == (2, config.bins, 7 * config.spectra)
    torch.testing.assert_close(stft.waves(spectra), wave, atol=1e-4, rtol=0)


def test_phases_are_found() -> None:
    """Of two notes: magnitudes come out as they went in, and more rounds bring them nearer."""
    stft, time = Spectra(SpectralConfig()), torch.arange(16000) / 16000
    notes = torch.cat([(2 * torch.pi * pitch * time[:8000]).sin() for pitch in (220.0, 330.0)])
    wanted = stft.spectra(notes.view(1, 1, -1)).abs()

    def missed(rounds: int) -> float:
        return float((stft.spectra(stft.griffin_lim(wanted, rounds)).abs() - wanted).norm() / wanted.norm())

    assert missed(16) < 0.7 * missed(1) and missed(16) < 0.1


def test_training_hears_levels_with_the_phases_of_the_original(codec: SpectralCodec) -> None:
    wave = torch.randn(1, 1, 1000)
    assert codec.make(codec.encoder(wave)).shape == codec.ideal(wave).shape
    torch.testing.assert_close(codec.heard(codec.ideal(wave), wave), wave, atol=1e-4, rtol=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("tokens", [13, 200])
def test_a_waveform_does_not_know_its_neighbours(codec: SpectralCodec, threads: int, tokens: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    waveforms = 0.3 * torch.randn(5, 1, tokens * TINY.hop)
    ids = torch.randint(TINY.codebook_size, (5, TINY.codebooks, tokens))
    for function, rows in ((codec.encode, waveforms), (codec.decode, ids), (codec.decode, ids[:, :2])):
        whole = function(rows)
        assert all(torch.equal(function(rows[at : at + 1]), whole[at : at + 1]) for at in range(len(rows)))
    torch.set_num_threads(before)


def test_both_ways_through_a_folder(tmp_path: Path, codec: SpectralCodec) -> None:
    config = CheckpointConfig(family=codec_family(TINY), architecture=architecture_dict(TINY), licence="Apache-2.0")
    save_checkpoint(tmp_path, config, codec.state_dict(), torch.float32)
    again = load_codec(tmp_path)
    assert isinstance(again, SpectralCodec) and read_codec(tmp_path) == TINY
    wave = torch.randn(1, 1, 1000)
    ids = codec.encode(wave)
    assert torch.equal(again.encode(wave), ids) and torch.equal(again.decode(ids), codec.decode(ids))


@pytest.mark.parametrize(
    ("family", "architecture", "sentence"),
    [
        ("vqgan", {}, "a vqgan is no codec; there are: encodec, spectral-codec"),
        ("spectral-codec", {"ratios": [8, 5]}, "architecture.ratios: unknown field"),
        ("spectral-codec", {"window": 200}, "window 200 is not twice stride 160"),
        ("spectral-codec", {"kernel_size": 6}, "kernel_size 6 is even"),
        ("spectral-codec", {"channels": 2}, "architecture.channels"),
        ("spectral-codec", {"codebook_size": 500}, "codebook_size 500 is no power of two"),
        ("spectral-codec", {"dimension": 2000}, "dimension 2000 is more than the 1026 of a token"),
        ("spectral-codec", {"window": 8}, "architecture.window"),
        ("encodec", {"codebook_size": 1}, "codebook_size 1 is no power of two"),
        ("encodec", {"sample_rate": 100}, "sample_rate 100 is less than the 640 samples of a token"),
    ],
)
def test_what_is_no_codec_is_named(tmp_path: Path, family: str, architecture: dict[str, Any], sentence: str) -> None:
    config = CheckpointConfig(family=family, architecture=architecture, licence="Apache-2.0")
    save_checkpoint(tmp_path, config, {"a": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=sentence):
        read_codec(tmp_path)


def test_sizes_say_their_family() -> None:
    assert codec_family(TINY) == "spectral-codec"
    assert type(build_codec(EnCodecConfig.preset("tiny"))).__name__ == "EnCodec"


def test_gradients_reach_every_weight(codec: SpectralCodec) -> None:
    wave = torch.randn(2, 1, 1000)
    (codec.make(codec.encoder(wave)) - codec.ideal(wave)).square().sum().backward()
    parts = [*codec.encoder.named_parameters(), *codec.decoder.named_parameters()]
    learnt = {name: value.grad for name, value in parts if value.requires_grad}
    assert not [name for name, grad in learnt.items() if grad is None or not grad.abs().sum() > 0]


def test_a_prepared_codec_knows_spectra_before_it_is_trained() -> None:
    torch.manual_seed(0)
    time = torch.arange(16000) / 16000
    waves = torch.stack([(2 * torch.pi * pitch * time).sin() for pitch in range(200, 2200, 50)]).unsqueeze(1)
    codec = SpectralCodec(SpectralConfig(encoder_depths=(1, 1), decoder_depths=(1, 1)))

    @torch.no_grad()
    def missed() -> float:
        return float((codec.make(codec.encoder(waves)) - codec.ideal(waves)).square().mean())

    before = missed()
    codec.prepare(waves)
    assert missed() < 0.02 * before


@pytest.mark.parametrize("samples", [200, 8000])
def test_a_single_sound_is_enough_to_prepare(samples: int) -> None:
    codec = SpectralCodec(SpectralConfig(encoder_depths=(1, 1), decoder_depths=(1, 1)))
    wave = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
    codec.prepare(torch.cat([wave, torch.zeros_like(wave)]))
    with torch.no_grad():
        assert codec.make(codec.encoder(wave)).isfinite().all()


def test_silence_cannot_be_prepared_for() -> None:
    with pytest.raises(ValueError, match="silent"):
        SpectralCodec(TINY).prepare(torch.zeros(2, 1, 8000))


@torch.no_grad()
def test_silence_comes_back_as_silence() -> None:
    codec = SpectralCodec(SpectralConfig(encoder_depths=(1, 1), decoder_depths=(1, 1)))
    sound = 0.1 * torch.randn(4, 1, 16000, generator=torch.Generator().manual_seed(0))
    sound[:2] = 0.0
    codec.prepare(sound)
    heard = codec.finish(codec.ideal(sound))
    assert heard[:2].abs().max() < 1e-6
    assert heard[2:].square().mean() > 0.5 * sound[2:].square().mean()


@torch.no_grad()
def test_what_is_given_goes_on() -> None:
    """A note whose second half is made anew: no jump where that begins, and what is given stays."""
    codec = SpectralCodec(SpectralConfig(encoder_depths=(1, 1), decoder_depths=(1, 1)))
    time = torch.arange(16000) / 16000
    wave = 0.3 * (2 * torch.pi * 110.0 * time).sin().view(1, 1, -1)
    asked = time >= 0.5
    made = codec.finish(codec.ideal(wave), Given(wave[0], asked))
    kept, seam = slice(600, 7000), slice(7900, 8600)
    assert (made - wave)[..., kept].abs().max() < 0.01
    assert (made - wave)[..., seam].abs().max() < 0.05
    apart = codec.finish(codec.ideal(wave))
    assert (apart - wave)[..., seam].abs().max() > 0.1, "without it, phases are anyone's"
