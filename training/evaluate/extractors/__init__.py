"""Networks in whose features images are compared. Every number carries the name of its extractor."""

from training.evaluate.extractors.base import Extractor, ExtractorError
from training.evaluate.extractors.choice import choose
from training.evaluate.extractors.own import OwnClassifier

__all__ = ["Extractor", "ExtractorError", "OwnClassifier", "choose"]
