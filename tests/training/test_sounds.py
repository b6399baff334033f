"""Codec and MAGNeT by recipe: loops, objectives, a run that is resumed, a checkpoint that is served."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalogue import Catalogue
from models.magnet.config import MAGNeTConfig
from models.magnet.network import MAGNeT
from models.tokenizers.codecs import read_codec
from models.tokenizers.encodec import EnCodec
from models.tokenizers.encodec_config import EnCodecConfig
from training.data.loops import EDITION, HELD_OUT, INSTRUMENTS, RATE, draw_loop, notes, tiled
from training.data.sounds import SoundSet
from training.evaluate.listener import fit_listener, instrument_labels, listen, tempo_agrees, tempo_of
from training.evaluate.sounds import codec_scores, sample_scores, waves_of
from training.objectives.codec import Balance, Book, CodecTask
from training.objectives.dense import features_of, neighbours
from training.objectives.spectra import bank, mel_distance, si_sdr
from training.recipe import read_recipe
from training.runs import run_recipe
from training.settings import CodecSettings
from training.sound_material import CAPTIONS, WAVES
from training.where import Where

COUNT = 8


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Tones in place of rendered loops: no SoundFont is needed."""
    time = np.arange(2 * RATE) / RATE
    waves = [np.sin(2 * np.pi * (200 + 90 * at) * time) * np.exp(-2 * time) for at in range(COUNT)]
    place = tmp_path / "sounds"
    place.mkdir()
    np.save(place / WAVES, (np.stack(waves) * 20000).astype(np.int16))
    captions = [f"{'low' if at < 4 else 'high'} tone, {'soft' if at % 2 else 'hard'}" for at in range(COUNT)]
    (place / CAPTIONS).write_text(json.dumps({"edition": EDITION, "captions": captions, "font": "none"}))
    return place


def test_loops_are_what_their_captions_say() -> None:
    loops = [draw_loop(seed) for seed in range(400)]
    assert {(loop.instrument, loop.tempo) for loop in loops}.isdisjoint(HELD_OUT)
    assert {(one.instrument, one.tempo) for one in (draw_loop(seed, held_out=True) for seed in range(200))} == HELD_OUT
    assert loops[7] == draw_loop(7) and notes(loops[7]) == notes(draw_loop(7))
    for loop in loops:
        played = notes(loop)
        assert loop.samples % 320 == 0, "loops are whole tokens"
        assert any(note.channel == 9 for note in played) is loop.drums
        assert all(0.0 <= note.begin < note.end <= 8.3 and 20 <= note.key <= 110 for note in played)
    assert draw_loop(3).caption.count(",") == 3
    assert Counter(loop.drums for loop in loops)[True] == pytest.approx(200, abs=50)


def test_a_tiled_loop_goes_on() -> None:
    wave = np.arange(5.0)
    assert tiled(wave, 3, 7).tolist() == [3, 4, 0, 1, 2, 3, 4]


def test_distances_of_sounds() -> None:
    torch.manual_seed(0)
    real = torch.randn(2, 1, 8000) * 0.1
    near, far = real + 0.01 * torch.randn_like(real), torch.randn_like(real) * 0.1
    assert mel_distance(real, real, RATE) == 0.0
    assert mel_distance(near, real, RATE) < mel_distance(far, real, RATE)
    assert si_sdr(2 * near[:, 0], real[:, 0]).min() > 15.0 and si_sdr(far[:, 0], real[:, 0]).max() < 0.0
    assert bank(RATE, 64).shape == (8, 33) and bank(RATE, 2048).shape == (64, 1025)


def test_gradients_are_balanced() -> None:
    made = torch.randn(3, 1, 50, requires_grad=True)
    terms = {"small": (made * 1e-4).sum(), "large": (made.square() * 1e4).sum()}
    balance = Balance(("small", "large"))
    pull = balance(made, terms, {"small": 1.0, "large": 3.0})
    alone = balance(made, {"small": terms["small"]}, {"small": 1.0, "large": 3.0})
    assert alone.flatten(1).norm(dim=1).mean() * 3 == pytest.approx(1.0, rel=1e-3)
    assert pull.flatten(1).norm(dim=1).mean() * 3 == pytest.approx(0.8, abs=0.2)


def test_codebooks_follow_their_rows_and_dead_codes_come_back() -> None:
    codec = EnCodec(EnCodecConfig.preset("tiny"))
    book = Book(codec.quantizer.layers[0])
    rows = torch.randn(400, 8)
    draws = torch.Generator().manual_seed(0)
    book.seed(rows, draws)
    before = (rows - book.table[book.nearest(rows)]).square().mean()
    for _ in range(20):
        book.count(book.nearest(rows), rows)
        book.follow(0.8)
        book.replace_dead(rows, draws, 0.05)
    after = (rows - book.table[book.nearest(rows)]).square().mean()
    assert after < before and book.perplexity() > 16


def test_a_codec_learns(sounds: Path) -> None:
    data = SoundSet(np.load(sounds / WAVES), tuple("a" * COUNT), RATE)
    network = EnCodecConfig(
        sample_rate=RATE, dimension=8, filters=2, ratios=(8, 5, 4, 2), lstm_layers=1, codebook_size=32
    )
    with pytest.raises(ValueError, match="16000 samples a second, the codec 64"):
        CodecTask(EnCodec(EnCodecConfig.preset("tiny")), data, CodecSettings())
    task = CodecTask(EnCodec(network), data, CodecSettings(crop_seconds=0.25, windows=(256,), width=4))
    assert task.fetch(torch.arange(4), slice(0, 4))[0].shape == (4, 1, 4000)
    assert task.picture(task.codec).dtype == torch.uint8


def test_training_and_serving_agree() -> None:
    """The dense rows of training are those that a decoder evaluates."""
    config = MAGNeTConfig(
        codebook_size=32, frame_rate=8, seconds=2.0, dim=32, depth=2, heads=4, text_dim=16, text_encoder="", terms=6
    )
    torch.manual_seed(0)
    network = MAGNeT(config).eval()
    ids = torch.randint(33, (2, 4, 16))
    labels = torch.tensor([[0, 4, -1]])
    with torch.no_grad():
        memory = network.text_in(network.terms(torch.tensor([0, 4])))
        for codebook in (0, 2):
            near = neighbours(16, config.context, ids.device) if codebook else None
            rows = features_of(network, ids, near, labels).unflatten(0, (2, 16))
            wanted = network(ids, codebook, [memory, None])
            torch.testing.assert_close(network.heads[codebook](network.norm(rows)), wanted, atol=1e-5, rtol=1e-5)


def test_recipes_make_what_is_served(sounds: Path, tmp_path: Path) -> None:
    recipe = read_recipe("tiny-magnet")
    out = tmp_path / "run"
    place = run_recipe(recipe, Where(out, data_dir=sounds))
    [entry] = Catalogue.scan([out]).entries.values()
    assert (entry.spec.modality, entry.spec.sampling.codebook_steps) == ("audio", (2, 1, 1, 1))
    assert {"low", "high", "soft", "hard"} <= set(entry.spec.words)
    assert entry.spec.sound is not None and entry.spec.sound.most_seconds == 2.0
    decoder = entry.family.load(entry.spec, place, "cpu", "float32")
    assert entry.family.understand(entry.spec, "a soft tone").revised == "soft"
    assert decoder.spec.sound is not None
    assert (out / "samples" / "0000004.png").is_file() and (out / "tokenizer" / "samples").is_dir()


def test_a_generator_may_use_the_first_codebooks_alone(sounds: Path, tmp_path: Path) -> None:
    codec = run_recipe(read_recipe("tiny-codec"), Where(tmp_path / "codec", data_dir=sounds))
    changes = {"sound.codebooks": "2", "sound.decoding.codebook_steps": "[2, 1]"}
    where = Where(tmp_path / "run", data_dir=sounds, tokenizer=codec)
    place = run_recipe(read_recipe("tiny-magnet", changes), where)
    [entry] = Catalogue.scan([tmp_path / "run"]).entries.values()
    assert entry.spec.grid[0] == 2 and read_codec(place / "tokenizer").codebooks == 2
    with pytest.raises(ValueError, match="can be kept, not 5"):
        run_recipe(read_recipe("tiny-magnet", {"sound.codebooks": "5"}), replace(where, out=tmp_path / "other"))


def test_a_resumed_run_is_the_undisturbed_one(sounds: Path, tmp_path: Path) -> None:
    for name in ("tiny-codec", "tiny-magnet", "tiny-twin"):
        more: dict[str, Path] = {} if name == "tiny-codec" else {"tokenizer": tmp_path / "tiny-codec-a" / "checkpoint"}
        whole = run_recipe(read_recipe(name), Where(tmp_path / f"{name}-a", data_dir=sounds, **more))
        run_recipe(read_recipe(name), Where(tmp_path / f"{name}-b", data_dir=sounds, stop_at=2, **more))
        parts = run_recipe(read_recipe(name), Where(tmp_path / f"{name}-b", data_dir=sounds, **more))
        weights = "model.safetensors"
        assert (whole / weights).read_bytes() == (parts / weights).read_bytes(), name


def test_crops_differ_from_epoch_to_epoch(sounds: Path) -> None:
    data = SoundSet(np.load(sounds / WAVES), tuple("ab" * 4), RATE)
    codec = EnCodec(EnCodecConfig(sample_rate=RATE, dimension=8, filters=2, ratios=(8, 5, 4, 2), codebook_size=32))
    task = CodecTask(codec, data, CodecSettings(crop_seconds=0.5))
    rows = torch.tensor([3, 1, 2])
    [first], [same] = task.fetch(rows, slice(0, 3)), task.fetch(rows, slice(0, 3))
    [share] = task.fetch(rows, slice(1, 2))
    [other] = task.fetch(torch.tensor([2, 1, 3]), slice(0, 3))
    assert torch.equal(first, same) and torch.equal(first[1:2], share)
    assert not torch.equal(first[1], other[1]), "in other company, another place"


def test_rendered_sounds_know_their_name(sounds: Path, tmp_path: Path) -> None:
    told = json.loads((sounds / CAPTIONS).read_text())
    (sounds / CAPTIONS).write_text(json.dumps(told | {"name": "loops"}))
    with pytest.raises(ValueError, match="holds the sounds 'loops', not 'tiny-loops'"):
        run_recipe(read_recipe("tiny-codec"), Where(tmp_path / "run", data_dir=sounds))


def test_loops_that_were_played_in_another_way_are_refused(sounds: Path, tmp_path: Path) -> None:
    told = json.loads((sounds / CAPTIONS).read_text())
    (sounds / CAPTIONS).write_text(json.dumps(told | {"edition": 1}))
    with pytest.raises(ValueError, match="played in another way by now: take them away"):
        run_recipe(read_recipe("tiny-codec"), Where(tmp_path / "run", data_dir=sounds))


def test_unknown_sounds_are_named(tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="sounds 'noise' are not one of loops"):
        run_recipe(replace(read_recipe("tiny-codec"), data="noise"), Where(tmp_path))


def test_a_tempo_is_counted() -> None:
    time = np.arange(4 * RATE)
    for tempo in (80, 96, 120, 160):
        eighth = 30 * RATE / tempo
        since = time % eighth
        clicks = np.exp(-since / 200) * np.sin(since / 3) * (1.0 + 0.3 * ((time // eighth) % 2 == 0))
        found = tempo_of(torch.from_numpy(clicks.astype(np.float32)).unsqueeze(0))
        assert tempo_agrees(found, tempo), (tempo, found)


def test_a_listener_tells_instruments_and_a_codec_is_scored() -> None:
    """Tones of another height stand for instruments."""
    time, names = np.arange(2 * RATE) / RATE, list(INSTRUMENTS)
    rng = np.random.default_rng(0)
    waves = [np.sin(2 * np.pi * 200 * 1.5 ** (at % 8) * time + rng.uniform(0, 6)) * 9000 for at in range(64)]
    captions = tuple(f"{names[at % 8]} loop, 120 bpm, c major, with drums" for at in range(64))
    data = SoundSet(np.stack(waves).astype(np.int16), captions, RATE)
    listener = fit_listener(data, steps=60, batch=16)
    real = waves_of(data)
    _, heard = listen(listener, real)
    assert (heard == instrument_labels(captions)).double().mean() > 0.9
    same = sample_scores(real[:32], captions[:32], real[32:], listener)
    other = sample_scores(real[:32].flip(0), captions[:32], 0.1 * torch.randn_like(real[32:]), listener)
    assert same["instrument"] > 90 and same["fad_cls"] < other["fad_cls"]
    codec = EnCodec(
        EnCodecConfig(sample_rate=RATE, dimension=8, filters=2, ratios=(8, 5, 4, 2), lstm_layers=1, codebook_size=32)
    )
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()
    scores = codec_scores(codec, data, data, listener)
    assert scores["instrument_real"] > 90 and len(scores["codes_used"]) == 4
    assert abs(scores["fad_cls_floor"]) < 1e-3 < scores["fad_cls_resynthesised"]
