"""Architecture dataclasses <-> the `architecture` object of config.json. Imports without torch."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid")
"""Give it to a config dataclass as `__pydantic_config__`: unknown keys become errors."""


def parse_architecture(config_type: type[T], values: Mapping[str, Any]) -> T:
    """Build a config dataclass from JSON values (lists become tuples, types are checked).

    Raises ValueError with one line per wrong or unknown field, each naming the field.
    """
    try:
        return TypeAdapter(config_type).validate_python(dict(values))
    except ValidationError as error:
        raise ValueError("; ".join(describe_errors(error, "architecture"))) from None


def describe_errors(error: ValidationError, root: str = "") -> list[str]:
    """One short sentence per problem: `architecture.heads: Input should be a valid integer`."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in ((root,) if root else ()) + item["loc"])
        lines.append(f"{path}: {item['msg']}" if path else str(item["msg"]))
    return lines


def architecture_dict(config: Any) -> dict[str, Any]:
    """The JSON form of a config dataclass: every field, tuples as lists."""
    values = dataclasses.asdict(config)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
