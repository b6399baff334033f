"""From the words of `--features` to extractors."""

from collections.abc import Sequence
from pathlib import Path

from training.evaluate.extractors.base import Extractor, ExtractorError
from training.evaluate.extractors.lite0 import Lite0
from training.evaluate.extractors.own import OwnClassifier
from training.evaluate.extractors.script import Script


def choose(words: Sequence[str], size: int | None = None) -> tuple[bool, list[Extractor]]:
    """Whether `cls`, which needs a classifier, is among the words, and the other extractors: `lite0` or files.

    `size` is for files. Raises ExtractorError, also where two extractors would give their numbers one name.
    """
    found: list[Extractor] = []
    for word in dict.fromkeys(words):
        if word == Lite0.name:
            found.append(Lite0())
        elif word != OwnClassifier.name:
            found.append(Script(Path(word), size))
    names = [OwnClassifier.name, Lite0.name]
    for extractor in found:
        if isinstance(extractor, Script) and extractor.name in names:
            raise ExtractorError(f"{extractor.path}: the name {extractor.name} is taken: rename the file")
        names.append(extractor.name)
    if size is not None and not any(isinstance(extractor, Script) for extractor in found):
        raise ExtractorError("--features-size is for a file given by --features")
    return OwnClassifier.name in words, found
