"""The files that audiocraft exports: weights beside the settings that made them, read as plain data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import CheckpointError
from models.official import read_content, state_of

STATE = "best_state"
SETTINGS = "xp.cfg"
POINTER = "pretrained"
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Exported:
    """`state`: the averaged weights by their published names, as precise as they are stored."""

    source: Path
    state: dict[str, Tensor]
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, source: Path) -> "Exported":
        """A `state_dict.bin` or `compression_state_dict.bin`. CheckpointError, in one line, for anything else."""
        content = read_content(source)
        if not isinstance(content, dict):
            raise CheckpointError(f"{source}: holds a {type(content).__name__}, not an export of audiocraft")
        if STATE not in content and POINTER in content:
            raise CheckpointError(f"{source}: holds no weights, but the name of some: {content[POINTER]}")
        missing = [name for name in (STATE, SETTINGS) if name not in content]
        if missing:
            raise CheckpointError(f"{source}: missing {', '.join(missing)}, so this is no export of audiocraft")
        return cls(source, state_of(source, content[STATE]), _settings(source, content[SETTINGS]))

    @property
    def dtype(self) -> torch.dtype:
        """What holds every number of the file: half precision where all are."""
        kinds = {value.dtype for value in self.state.values() if value.is_floating_point()}
        return kinds.pop() if len(kinds) == 1 else torch.float32

    def setting(self, path: str) -> Any:
        """`a.b` of the settings, references to others followed. CheckpointError names what is not there."""
        value = self._find(path)
        seen = {path}
        while isinstance(value, str) and (reference := REFERENCE.fullmatch(value)):
            path = reference[1]
            if path in seen:
                raise CheckpointError(f"{self.source}: {SETTINGS}: {path} refers to itself")
            seen.add(path)
            value = self._find(path)
        return value

    def settings_of(self, section: str, names: Mapping[str, str]) -> dict[str, Any]:
        """What `section` says of `names` (theirs -> ours), by our names; nothing of those it does not mention."""
        found = self.setting(section)
        if not isinstance(found, Mapping):
            raise CheckpointError(f"{self.source}: {SETTINGS}: {section} is no section")
        return {ours: self.setting(f"{section}.{theirs}") for theirs, ours in names.items() if theirs in found}

    def _find(self, path: str) -> Any:
        value: Any = self.settings
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                raise CheckpointError(f"{self.source}: {SETTINGS} has no {path}")
            value = value[name]
        return value


def _settings(source: Path, text: Any) -> Mapping[str, Any]:
    import yaml

    if not isinstance(text, str):
        raise CheckpointError(f"{source}: {SETTINGS} is a {type(text).__name__}, not text")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CheckpointError(f"{source}: {SETTINGS} is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{source}: {SETTINGS} is a {type(found).__name__}, not settings")
    return found
