"""What a MaskGIT request may be conditioned on."""

from models.decoder import Condition
from models.decoding.admission import check_class
from models.maskgit.config import UViTConfig


def check_condition(condition: Condition | None, config: UViTConfig) -> None:
    """A class index, or for captions up to `words` indices of terms. Raises ValueError."""
    if condition is None:
        return
    if not config.words:
        check_class(condition, config.num_classes)
    elif not isinstance(condition, tuple) or not 1 <= len(condition) <= config.words:
        raise ValueError(f"the condition is 1 to {config.words} terms, not {condition}")
    elif not all(0 <= term < config.num_classes for term in condition):
        raise ValueError(f"the terms are below {config.num_classes}, not {condition}")
