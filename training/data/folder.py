"""A folder of pictures as a data set: decoded once, to one size, into a file that every later run maps."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import BaseModel
from torch import Tensor

from models.captions import indices
from training.data.images import ImageSet
from training.data.listing import Listing, NoPictures, Source

Aspect = Literal["crop", "pad", "stretch"]
PIXELS, FACTS = "pixels.npy", "pictures.json"
LAYOUT = 2  # of the two files
CHUNK = 4096  # pictures copied at a time
HELD_OUT = 10  # every tenth picture, by its name, is kept out of training


@dataclass(frozen=True)
class Shape:
    """What every picture becomes: `size` x `size` pixels of `channels` (1 or 3).

    `aspect`: crop the middle square, pad with white to a square, or stretch.
    """

    size: int
    channels: int
    aspect: Aspect = "crop"


@dataclass(frozen=True)
class Prepared:
    """The split; skipped and changed: file -> why it is left out, or what was done about it."""

    train: ImageSet
    validation: ImageSet
    skipped: dict[str, str]
    changed: dict[str, str]


class Facts(BaseModel):
    """What lies beside the decoded pixels; the first `training` of them are not held out."""

    fingerprint: str
    training: int
    files: list[str]
    labels: list[int]
    captions: list[str]
    skipped: dict[str, str]
    changed: dict[str, str]


def prepare(listing: Listing, shape: Shape, cache: Path, tell: Callable[[], None] = lambda: None) -> Prepared:
    """Decode the listing into two files in `cache`, or take what lies there if it is of this listing and shape.

    `tell` is called after every picture. Raises NoPictures when none can be decoded.
    """
    mark = fingerprint(listing, shape)
    facts = _kept(cache, mark) or _decode(listing, shape, cache, mark, tell)
    images, labels = torch.from_numpy(np.load(cache / PIXELS, mmap_mode="c")), _labels(facts, listing)
    parts = (slice(None, facts.training), slice(facts.training, None))  # views: the file is mapped, not read
    train, validation = (ImageSet(images[part], labels[part], listing.conditions) for part in parts)
    return Prepared(train, validation, facts.skipped, facts.changed)


def _labels(facts: Facts, listing: Listing) -> Tensor:
    """Classes [N], or the terms of the captions [N, W]."""
    if listing.classes:
        return torch.tensor(facts.labels)
    places = {term: at for at, term in enumerate(listing.conditions)}
    terms = (indices(caption, places, listing.words) for caption in facts.captions)
    return torch.tensor([[*row, *[-1] * (listing.words - len(row))] for row in terms])


def fingerprint(listing: Listing, shape: Shape) -> str:
    """Changes with any file's name, class, caption, size or time, and with the shape."""
    left = sorted(map(str, listing.skipped.items()))
    digest = hashlib.blake2b(repr((LAYOUT, shape, listing.classes, left)).encode(), digest_size=16)
    for source in listing.sources:
        stat = source.path.stat()
        digest.update(
            f"{_name(listing, source)}|{source.label}|{stat.st_size}|{stat.st_mtime_ns}|{source.caption}\n".encode()
        )
    return digest.hexdigest()


def held_out(files: list[str], labels: Tensor) -> Tensor:
    """Which pictures are kept for evaluation, by a hash of their names: bool [N]. A lone picture of a class is not."""
    lots = [int(hashlib.blake2b(name.encode(), digest_size=4).hexdigest(), 16) for name in files]
    chosen = torch.tensor([lot % HELD_OUT == 0 for lot in lots])
    for label in labels.unique():
        rows = (labels == label).nonzero().squeeze(1)
        if chosen[rows].all():
            chosen[rows[0]] = False
        elif not chosen[rows].any() and len(rows) >= HELD_OUT:
            chosen[min(rows.tolist(), key=lots.__getitem__)] = True
    return chosen


def _kept(cache: Path, mark: str) -> Facts | None:
    path = cache / FACTS
    if not path.is_file() or not (cache / PIXELS).is_file():
        return None
    try:
        facts = Facts.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError:  # cut off by a crash: decode again
        return None
    return facts if facts.fingerprint == mark else None


def _decode(listing: Listing, shape: Shape, cache: Path, mark: str, tell: Callable[[], None]) -> Facts:
    facts = Facts(fingerprint=mark, training=0, files=[], labels=[], captions=[], skipped={}, changed={})
    facts.skipped = {path.relative_to(listing.folder).as_posix(): why for path, why in listing.skipped.items()}
    cache.mkdir(parents=True, exist_ok=True)
    raw = cache / f".{PIXELS}.raw"
    with raw.open("wb") as file, ThreadPoolExecutor() as pool:
        for source, made in zip(listing.sources, pool.map(lambda s: _try(s, shape), listing.sources), strict=True):
            name = _name(listing, source)
            if isinstance(made, str):
                facts.skipped[name] = made
            else:
                pixels, change = made
                file.write(pixels.tobytes())
                facts.files.append(name)
                facts.labels.append(source.label)
                facts.captions.append(source.caption)
                if change:
                    facts.changed[name] = change
            tell()
    if not facts.files:
        raise NoPictures(f"{listing.folder}: not one of {len(listing)} pictures could be decoded")
    held = held_out(facts.files, torch.tensor(facts.labels))
    order = held.int().argsort(stable=True).tolist()  # those to train on first
    facts.training = int((~held).sum())
    facts.files, facts.labels = [facts.files[i] for i in order], [facts.labels[i] for i in order]
    facts.captions = [facts.captions[i] for i in order]
    whole = np.memmap(raw, np.uint8, "r", shape=(len(order), shape.channels, shape.size, shape.size))
    ordered = np.lib.format.open_memmap(cache / f".{PIXELS}", "w+", np.uint8, whole.shape)
    for at in range(0, len(order), CHUNK):
        ordered[at : at + CHUNK] = whole[order[at : at + CHUNK]]
    ordered.flush()
    os.replace(cache / f".{PIXELS}", cache / PIXELS)
    raw.unlink()
    (cache / f".{FACTS}").write_text(facts.model_dump_json(indent=1), encoding="utf-8")
    os.replace(cache / f".{FACTS}", cache / FACTS)
    return facts


def _try(source: Source, shape: Shape) -> tuple[np.ndarray, str] | str:
    """Pixels and what was done to get them, or why there are none."""
    try:
        return decode(source.path, shape)
    except MemoryError:
        raise
    except Exception as error:  # each Pillow plugin has its own ways to fail on broken data
        return f"damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def decode(path: Path, shape: Shape) -> tuple[np.ndarray, str]:
    """uint8 [C, size, size], and in words what had to be changed ("" for an ordinary picture)."""
    changes: list[str] = []
    with Image.open(path) as opened:
        if getattr(opened, "n_frames", 1) > 1:
            changes.append("first of several frames")
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        changes.append("16 bits reduced to 8")
    elif picture.mode in ("CMYK", "YCCK"):
        changes.append("converted from CMYK")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        if np.asarray(layer.getchannel("A")).min() < 255:
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            changes.append("laid on white where transparent")
    picture = picture.convert("L" if shape.channels == 1 else "RGB")
    if min(picture.size) < shape.size:
        changes.append(f"enlarged from {picture.width}x{picture.height}")
    pixels = np.asarray(_square(picture, shape))
    return np.ascontiguousarray(pixels.reshape(shape.size, shape.size, shape.channels).transpose(2, 0, 1)), ", ".join(
        changes
    )


def _square(picture: Image.Image, shape: Shape) -> Image.Image:
    size = (shape.size, shape.size)
    if shape.aspect == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if shape.aspect == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color="white")
    return picture.resize(size, Image.Resampling.LANCZOS)


def _name(listing: Listing, source: Source) -> str:
    return source.path.relative_to(listing.folder).as_posix()
