"""The families of generators that can be trained, by the `family` of a recipe's [generator] table."""

from collections.abc import Mapping
from types import MappingProxyType

from training.generators.base import GeneratorKind
from training.generators.mar import MARKind
from training.generators.maskgit import MaskGITKind

GENERATORS: Mapping[str, GeneratorKind] = MappingProxyType({"maskgit": MaskGITKind(), "mar": MARKind()})
