"""A feature extractor of the user's own: a TorchScript file, the form in which FID's Inception is passed on."""

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.evaluate.extractors.base import ExtractorError, in_parts, resized, to_colour

KEYWORD = "return_features"  # asks a classifier for its features instead of its logits
DIGITS = 16
FAILURES = (RuntimeError, torch.jit.Error)


class Script:
    """Calls the module with pixels 0 to 255, as uint8 or, where it fails on those, as float32: [N, 3, H, W].

    It returns features [N, D], or a tuple or list that begins with them; a parameter `return_features` is set. Loading
    a TorchScript file gives it the means to do anything on this machine: trusted files only.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        """`size`: pixels a side that images are brought to first. Raises ExtractorError."""
        if not path.is_file():
            raise ExtractorError(
                f"{path}: there is no such file (feature extractors: cls, lite0, or a TorchScript file)"
            )
        self.path, self.size, self.floats = path, size, False
        self.name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_") or "file"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
        scaled = f"at {size} pixels" if size else "at their own size"
        self.says = f"TorchScript {path.name}, sha256 {digest}..., for pictures {scaled}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # there is no other reader of this format
                self.network: Any = torch.jit.load(path, map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            raise ExtractorError(f"{path}: not TorchScript: {_first_line(error)}") from None
        named = {argument.name for argument in self.network.forward.schema.arguments}
        self.keywords = {KEYWORD: True} if KEYWORD in named else {}

    def features(self, images: Tensor) -> Tensor:
        return in_parts(self._extract, images)

    def _extract(self, images: Tensor) -> Tensor:
        pixels = to_colour(images)
        found = self._call((resized(pixels, self.size) if self.size else pixels).contiguous())
        if isinstance(found, tuple | list) and found:
            found = found[0]
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ExtractorError(f"{self.path}: returned {shape} for {len(images)} images, not [{len(images)}, D]")
        if not found.isfinite().all():
            raise ExtractorError(f"{self.path}: returned features that are not finite")
        return found

    def _call(self, pixels: Tensor) -> Any:
        try:
            if not self.floats:
                return self.network(pixels, **self.keywords)
        except FAILURES:
            self.floats = True
        try:
            return self.network(pixels.float(), **self.keywords)
        except FAILURES as error:
            raise ExtractorError(f"{self.path}: fails on images {list(pixels.shape)}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """What went wrong: of a TorchScript traceback its last line, else the first sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if "Traceback" in str(error) else lines[0].split(". ")[0]
