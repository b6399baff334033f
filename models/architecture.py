"""Architecture dataclasses <-> the `architecture` object of config.json. Imports without torch."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class Architecture:
    """Base of the config dataclasses: named presets, and reading from JSON."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, name: str) -> Self:
        """A named configuration of `presets`; KeyError for an unknown name."""
        return cls(**cls.presets[name])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read `architecture` of a checkpoint's config.json; ValueError names wrong fields."""
        return parse_architecture(cls, values)  # type: ignore[type-var]  # subclasses are dataclasses


def parse_architecture(config_type: type[T], values: Mapping[str, Any], root: str = "architecture") -> T:
    """Build a config dataclass from JSON values (lists become tuples, types are checked).

    Raises ValueError, in one line, naming each wrong or unknown field below `root`.
    """
    fields = {field.name for field in dataclasses.fields(config_type)}
    unknown = [f"{root}.{key}: unknown field" for key in values if key not in fields]
    if unknown:
        raise ValueError("; ".join(unknown))
    try:
        return TypeAdapter(config_type).validate_python(dict(values))
    except ValidationError as error:
        raise ValueError("; ".join(describe_errors(error, root))) from None


def describe_errors(error: ValidationError, root: str = "") -> list[str]:
    """One short sentence per problem: `architecture.heads: Input should be a valid integer`."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in ((root,) if root else ()) + item["loc"])
        lines.append(f"{path}: {item['msg']}" if path else str(item["msg"]))
    return lines


def architecture_dict(config: "DataclassInstance") -> dict[str, Any]:
    """The JSON form of a config dataclass: every field, tuples as lists."""
    values = dataclasses.asdict(config)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
