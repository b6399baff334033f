"""Where made pictures go: a PNG file, a directory of them, or one .npz."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.decoder import GenerationRequest
from service.commands.refusal import Refusal
from service.media.encode import encode
from service.media.tags import make_tags
from service.offline import Made

NO_CLASS = -1


@dataclass(frozen=True)
class Picture:
    made: Made
    request: GenerationRequest
    understood: str | None

    @property
    def file(self) -> bytes:
        """The PNG that the server would answer with."""
        return encode(self.made.artifact.array, tags=make_tags(self.request, self.made.report, self.understood))


def check_target(out: Path, count: int) -> None:
    """Complain before the work, not after it. Raises Refusal."""
    if out.suffix == ".png" and count != 1:
        raise Refusal(f"there are {count} pictures: name a directory or a .npz file, not {out}")
    if out.suffix not in ("", ".png", ".npz"):
        raise Refusal(f"{out}: pictures go to a .png file, a directory or a .npz file")
    if out.suffix == "" and out.is_file():
        raise Refusal(f"{out} is a file, not a directory")


def write(out: Path, pictures: Sequence[Picture]) -> list[Path]:
    """Write as the name says; the .npz holds images uint8 [N, H, W, C] and labels int64 [N] (-1: no class)."""
    if out.suffix == ".png":
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(pictures[0].file)
        return [out]
    if out.suffix == ".npz":
        out.parent.mkdir(parents=True, exist_ok=True)
        labels = [p.request.condition if isinstance(p.request.condition, int) else NO_CLASS for p in pictures]
        images = np.stack([picture.made.artifact.array for picture in pictures])
        np.savez_compressed(out, images=images, labels=np.array(labels, dtype=np.int64))
        return [out]
    out.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(pictures) - 1)))
    files = [out / f"{at:0{digits}d}.png" for at in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        file.write_bytes(picture.file)
    return files
