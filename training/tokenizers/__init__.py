"""The kinds of tokenizer that can be trained, by the `kind` of a recipe's [tokenizer] table."""

from collections.abc import Mapping
from types import MappingProxyType

from training.tokenizers.base import TokenizerKind
from training.tokenizers.kl import KLKind
from training.tokenizers.vqgan import VQGANKind

TOKENIZERS: Mapping[str, TokenizerKind] = MappingProxyType({"vqgan": VQGANKind(), "kl": KLKind()})
