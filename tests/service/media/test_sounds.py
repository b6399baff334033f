"""Samples to files and back: what is kept, what is the same every time, what is refused."""

from io import BytesIO

import numpy as np
import pytest
import soundfile

from service.media.sounds import (
    SOUND_TYPES,
    SoundFormat,
    SoundLimits,
    cut_short,
    encode_sound,
    mixed,
    pcm,
    read_sound,
    resample,
    sound_comment,
)
from service.media.tags import read_tags
from service.media.uploads import UploadError

RATE = 16000
WAVE = (0.4 * np.sin(np.arange(RATE) / 7.0)).astype(np.float32)[:, None]
LIMITS = SoundLimits(2.0)


@pytest.mark.parametrize("format", SOUND_TYPES)
def test_the_same_samples_are_the_same_bytes(format: SoundFormat) -> None:
    files = {encode_sound(WAVE, RATE, format, tags={"seed": 1}) for _ in range(3)}
    assert len(files) == 1
    if format in ("wav", "flac", "opus"):
        assert read_tags(files.pop()) == {"seed": 1}


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_every_value_of_16_bits_survives(format: SoundFormat) -> None:
    values = np.arange(-32768, 32768).astype(np.int16)
    wave = (values.astype(np.float32) / 32768)[:, None]
    found, _ = soundfile.read(BytesIO(encode_sound(wave, RATE, format)), dtype="int16")
    assert np.array_equal(found, values)
    assert np.array_equal(pcm(wave)[:, 0], values)


def test_what_is_too_loud_is_clipped() -> None:
    assert pcm(np.array([[2.0], [-2.0]], np.float32)).tolist() == [[32767], [-32768]]
    loud = read_sound(encode_sound(10 * WAVE, RATE), RATE, 1, LIMITS).wave
    assert loud.max() == pytest.approx(1.0, abs=1e-4) and loud.min() == -1.0


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_sound_alike(rate: int) -> None:
    there = resample(WAVE, RATE, rate)
    assert len(there) == pytest.approx(rate, abs=2)
    back = read_sound(encode_sound(there, rate, depth="FLOAT"), RATE, 1, LIMITS).wave
    count = min(len(back), RATE) - 200
    np.testing.assert_allclose(back[200:count], WAVE[200:count], atol=0.01)


def test_channels_are_mixed_or_copied() -> None:
    stereo = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    assert mixed(stereo, 1).tolist() == [[0.5], [0.5]]
    assert mixed(stereo[:, :1], 2).tolist() == [[1.0, 1.0], [0.5, 0.5]]
    assert mixed(stereo, 2) is stereo


def test_a_file_of_another_kind_has_no_tags() -> None:
    assert sound_comment(b"nothing") == ""
    with pytest.raises(ValueError, match="no maskserve tags"):
        read_tags(encode_sound(WAVE, RATE))
    with pytest.raises(ValueError, match="no maskserve tags"):
        read_tags(b"nothing")


@pytest.mark.parametrize("keep", [10, 40, 44, 100, 31000])
def test_a_cut_wav_is_seen(keep: int) -> None:
    file = encode_sound(WAVE, RATE)
    assert not cut_short(file)
    assert keep < 12 or cut_short(file[:keep])
    with pytest.raises(UploadError):
        read_sound(file[:keep], RATE, 1, LIMITS)


def test_a_streamed_wav_is_read() -> None:
    file = bytearray(encode_sound(WAVE, RATE))
    at = file.index(b"data") + 4
    file[4:8] = file[at : at + 4] = b"\xff" * 4
    assert len(read_sound(bytes(file), RATE, 1, LIMITS).wave) == RATE


@pytest.mark.parametrize(
    ("wave", "rate", "message", "status"),
    [
        (np.zeros((3 * RATE, 1), np.float32), RATE, "3.0 s are more than the 2 s", 413),
        (np.zeros((800, 9), np.float32), RATE, "9 channels are more than 8", 400),
        (np.zeros((800, 1), np.float32), 400_000, "400000 samples a second are outside", 400),
        (np.zeros((800, 1), np.float32), 1000, "1000 samples a second are outside", 400),
        (np.zeros((0, 1), np.float32), RATE, "no sound in the file", 400),
        (np.full((800, 1), np.nan, np.float32), RATE, "not numbers", 400),
    ],
)
def test_what_cannot_be_used_says_why(wave: np.ndarray, rate: int, message: str, status: int) -> None:
    out = BytesIO()
    soundfile.write(out, wave, rate, format="WAV", subtype="FLOAT")
    with pytest.raises(UploadError, match=message) as caught:
        read_sound(out.getvalue(), RATE, 1, LIMITS)
    assert caught.value.status == status
