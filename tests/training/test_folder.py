"""A folder of pictures, as people have them: every size, mode and mishap."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.folder import Shape, decode, held_out, prepare
from training.data.listing import NoPictures, list_folder


def picture(path: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB", colour: object = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for at in range(12):
        picture(root / "cats" / f"{at}.png", (30 + at, 40))
        picture(root / "dogs" / "deep" / f"{at}.jpg", colour="blue")
    (root / "dogs" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (root / "dogs" / "notes.txt").write_text("not looked at")
    (root / ".cache").mkdir()
    picture(root / ".cache" / "hidden.png")
    return root


def test_subfolders_are_classes_and_what_cannot_be_read_is_named(folder: Path) -> None:
    listing = list_folder(folder)
    assert listing.classes == ("cats", "dogs")
    assert listing.counts == {"cats": 12, "dogs": 12}
    [(path, why)] = listing.skipped.items()
    assert path.name == "broken.jpg" and "cannot be read" in why
    assert not listing.grey and listing.median_side == 30


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    picture(tmp_path / "things" / "a.png", mode="L", colour=7)
    listing = list_folder(tmp_path / "things")
    assert listing.classes == ("things",) and listing.grey


def test_a_class_of_damaged_pictures_is_no_class(folder: Path) -> None:
    (folder / "birds").mkdir()
    (folder / "birds" / "a.png").write_bytes(b"nothing")
    listing = list_folder(folder)
    assert listing.classes == ("cats", "dogs") and {s.label for s in listing.sources} == {0, 1}
    assert len(listing.skipped) == 2


def test_what_is_no_data_set_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NoPictures, match="not a folder"):
        list_folder(tmp_path / "nowhere")
    with pytest.raises(NoPictures, match="no picture"):
        list_folder(tmp_path)
    picture(tmp_path / "loose.png")
    picture(tmp_path / "cats" / "a.png")
    with pytest.raises(NoPictures, match=r"loose\.png"):
        list_folder(tmp_path)


def test_preparing_decodes_once_and_notices_changes(folder: Path, tmp_path: Path) -> None:
    cache, shape, told = tmp_path / "cache", Shape(16, 3), []
    truncated = folder / "cats" / "cut.png"
    Image.effect_noise((64, 64), 90).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:900])
    first = prepare(list_folder(folder), shape, cache, lambda: told.append(1))
    assert len(told) == 25
    assert len(first.train) + len(first.validation) == 24
    assert first.skipped.keys() == {"dogs/broken.jpg", "cats/cut.png"}, "found while listing, and while decoding"
    assert "damaged" in first.skipped["cats/cut.png"]
    assert first.train.images.shape[1:] == (3, 16, 16) and first.train.images.dtype == torch.uint8
    red = first.train.images[first.train.labels == 0].float().mean((0, 2, 3))
    assert red[0] > 250 and red[1] < 5
    assert set(first.validation.labels.tolist()) == {0, 1}
    told.clear()
    again = prepare(list_folder(folder), shape, cache, lambda: told.append(1))
    assert not told and torch.equal(again.train.images, first.train.images)
    picture(folder / "cats" / "new.png")
    assert len(prepare(list_folder(folder), shape, cache, lambda: told.append(1)).train) > len(first.train)
    assert told
    assert prepare(list_folder(folder), Shape(8, 1), cache).train.images.shape[1:] == (1, 8, 8)


def test_a_damaged_half_of_a_folder_is_no_reason_to_stop_a_whole_one_is(tmp_path: Path) -> None:
    path = tmp_path / "data" / "a.png"
    path.parent.mkdir()
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(NoPictures, match="could be decoded"):
        prepare(list_folder(path.parent), Shape(16, 3), tmp_path / "cache")


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "wanted", "said"),
    [
        ("RGBA", (255, 0, 0, 0), "png", (255, 255, 255), "transparent"),
        ("RGBA", (255, 0, 0, 255), "png", (255, 0, 0), ""),
        ("LA", (0, 128), "png", (127, 127, 127), "transparent"),
        ("CMYK", (0, 255, 255, 0), "jpg", (255, 0, 0), "CMYK"),
        ("I;16", 0x8000, "png", (128, 128, 128), "16 bits"),
        ("1", 1, "png", (255, 255, 255), ""),
        ("P", 0, "gif", (0, 0, 0), ""),
    ],
)
def test_modes(tmp_path: Path, mode: str, colour: object, suffix: str, wanted: tuple[int, ...], said: str) -> None:
    pixels, change = decode(picture(tmp_path / f"a.{suffix}", (32, 32), mode, colour), Shape(16, 3))
    assert np.abs(pixels.mean((1, 2)) - wanted).max() <= 2
    assert said in change and bool(said) == bool(change)


def test_aspects_and_enlarging(tmp_path: Path) -> None:
    image = Image.new("L", (40, 20), 0)
    image.paste(255, (0, 0, 10, 20))
    path = tmp_path / "wide.png"
    image.save(path)
    white = {aspect: (decode(path, Shape(16, 1, aspect))[0] > 127).mean() for aspect in ("crop", "pad", "stretch")}
    assert white["crop"] == 0 and white["stretch"] == pytest.approx(0.25) and white["pad"] == pytest.approx(0.625)
    assert decode(path, Shape(32, 1))[1] == "enlarged from 40x20"


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("L", (20, 40), 0)
    image.paste(255, (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.jpg", exif=exif)
    pixels, _ = decode(tmp_path / "a.jpg", Shape(16, 1, "stretch"))
    assert pixels[0, :, -2:].min() > 200 and pixels[0, :, :8].max() < 60


def test_the_split_depends_on_names_alone_and_leaves_every_class_in_training() -> None:
    files = [f"c{at % 7}/{at}.png" for at in range(700)]
    labels = torch.arange(700) % 7
    held = held_out(files, labels)
    assert 40 < held.sum() < 110
    assert torch.equal(held_out(files[::-1], labels.flip(0)).flip(0), held)
    lone = held_out(["only.png"], torch.zeros(1, dtype=torch.long))
    assert not lone.any()
