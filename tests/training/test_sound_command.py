"""`maskserve-train sound`: a folder as people have them becomes a model that is served."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from models.catalogue import Catalogue
from models.checkpoint import read_config
from tests.tiny import tiny_magnet_checkpoint
from training.cli import app
from training.data.sound_folder import NoSounds, SoundShape, list_sounds, pieces, prepare_sounds

RATE = 8000
CHANGES = {
    "codec.network.encoder_width": 8,
    "codec.network.decoder_width": 8,
    "codec.network.encoder_depths": [1, 1],
    "codec.network.decoder_depths": [1, 1],
    "codec.network.rounds": 2,
    "codec.network.dimension": 8,
    "codec.network.codebook_size": 32,
    "codec.objective.crop_seconds": 0.25,
    "codec.objective.windows": [128],
    "codec.objective.width": 2,
    "codec.train.steps": 4,
    "codec.train.batch": 4,
    "sound.network.dim": 16,
    "sound.network.depth": 2,
    "sound.network.heads": 2,
    "sound.network.text_dim": 8,
    "sound.train.steps": 4,
    "sound.train.batch": 4,
}
SMALL = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]


def tone(path: Path, seconds: float, pitch: float = 300.0, rate: int = RATE, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten sounds in two folders: of other rates and channels, long and short ones, a damaged and a silent file."""
    root = tmp_path / "mine"
    for at in range(4):
        tone(root / "low_tone" / f"{at}.wav", 1.0, 200 + 20 * at)
        tone(root / "high_tone" / f"{at}.flac", 1.0, 900 + 20 * at, rate=2 * RATE, channels=2)
    tone(root / "low_tone" / "long.ogg", 2.6)
    tone(root / "low_tone" / "short.wav", 0.1)
    tone(root / "high_tone" / ".hidden.wav", 1.0)
    damaged = tone(root / "high_tone" / "damaged.flac", 1.0)
    damaged.write_bytes(damaged.read_bytes()[:50])
    (root / "high_tone" / "notes.md").write_text("no sound")
    return root


def test_a_folder_becomes_a_model(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ["sound", "--data", str(folder), "--out", str(out), "--rate", str(RATE), "--seconds", "1", *SMALL]
    looked = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert looked.exit_code == 0, looked.output
    assert "11 pieces of 9 files" in looked.output and "low" in looked.output
    assert "short.wav: has 0.10 s" in looked.output and "damaged.flac: cannot be read" in looked.output
    assert not (out / "checkpoint").exists()
    made = CliRunner().invoke(app, [*asked, "--licence", "CC0-1.0", "--credit", "me"])
    assert made.exit_code == 0, made.output
    [entry] = Catalogue.scan([out]).entries.values()
    assert entry.spec.sound is not None and (entry.spec.sound.rate, entry.spec.sound.most_seconds) == (RATE, 1.0)
    assert {"low", "high"} <= set(entry.spec.words) and entry.spec.grid == (4, 50)
    [data] = read_config(out / "checkpoint").data
    assert (data.name, data.licence, data.credit) == ("9 sounds of a folder", "CC0-1.0", "me")
    again = CliRunner().invoke(app, asked)
    assert again.exit_code == 0, "finished stages are skipped"


def test_pieces_are_of_one_length(folder: Path) -> None:
    shape = SoundShape(RATE, 1.0)
    long = list(pieces(folder / "low_tone" / "long.ogg", shape))
    assert len(long) == 3 and all(piece.shape == (RATE,) and piece.dtype == np.int16 for piece in long)
    assert not long[2][4900:].any() and np.abs(long[2][:4700]).max() > 10000, "the last ends in silence"
    [stereo] = pieces(folder / "high_tone" / "0.flac", shape)
    assert 14000 < int(np.abs(stereo.astype(int)).max()) < 18000


def test_captions_win_over_folders(folder: Path, tmp_path: Path) -> None:
    lines = [{"audio": "low_tone/0.wav", "text": "a hum"}, {"file": "high_tone/1.flac", "caption": "a beep"}]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    listing = list_sounds(folder)
    assert list(listing.captions.values()) == ["a beep", "a hum"] and len(listing.skipped) == 9
    shape, files = SoundShape(RATE, 1.0), (tmp_path / "waves.npy", tmp_path / "facts.json")
    told: list[int] = []
    first = prepare_sounds(listing, shape, *files, tell=told.append)
    assert first.captions == ("a beep", "a hum") and first.waves.shape == (2, RATE) and sum(told) == 2
    prepare_sounds(listing, shape, *files, tell=told.append)
    assert sum(told) == 2, "nothing is decoded again"
    prepare_sounds(listing, SoundShape(RATE, 0.5), *files, tell=told.append)
    assert sum(told) == 4


def test_a_file_that_breaks_off_late_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    wave = np.zeros(40 * RATE, np.float32)
    wave[35 * RATE] = np.nan
    root.mkdir()
    soundfile.write(root / "b_broken.wav", wave, RATE, "FLOAT")
    tone(root / "c_good.wav", 1.0)
    files = (tmp_path / "waves.npy", tmp_path / "facts.json")
    data = prepare_sounds(list_sounds(root), SoundShape(RATE, 1.0), *files, tell=lambda done: None)
    assert (data.captions, data.files, list(data.skipped)) == (("c good",), 1, ["b_broken.wav"])
    assert data.waves.shape == (1, RATE) and data.waves[0].any()


def test_a_codec_of_another_rate_is_refused(folder: Path, tmp_path: Path) -> None:
    place = tiny_magnet_checkpoint(tmp_path)
    asked = ["sound", "--data", str(folder), "--out", str(tmp_path / "run"), "--rate", str(RATE), *SMALL]
    result = CliRunner().invoke(app, [*asked, "--tokenizer", str(place / "tokenizer")])
    assert "8000 samples a second, the codec 64" in str(result.exception)


def test_loose_files_are_called_by_their_names(tmp_path: Path) -> None:
    tone(tmp_path / "bass_drum-1.wav", 0.5)
    assert list(list_sounds(tmp_path).captions.values()) == ["bass drum 1"]


def test_folders_without_sounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoSounds, match="is not a folder"):
        list_sounds(tmp_path / "nowhere")
    listing = list_sounds(tmp_path)
    with pytest.raises(NoSounds, match="holds no sound"):
        prepare_sounds(listing, SoundShape(RATE, 1.0), tmp_path / "w.npy", tmp_path / "f.json", tell=lambda done: None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rate", "44100"], "--rate is 8000"),
        (["--seconds", "0.1"], "--seconds is 0.5 to 60"),
        (["--recipe", "image"], "has no 'codec' stage"),
        (["--set", "codec.objective.spectrum=0"], "objective.l1, .mel, .stft and .spectrum are all 0"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, tmp_path: Path, more: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["sound", "--data", str(folder), "--out", str(tmp_path / "run"), *more])
    assert result.exit_code != 0
    assert message in str(result.exception)
