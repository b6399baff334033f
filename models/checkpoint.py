"""A checkpoint on disk: `config.json`, `*.safetensors`, `README.md`. Imports without torch.

A tokenizer is a directory of the same form, either inside the checkpoint or beside it, so that
several checkpoints can share a large one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from models.architecture import describe_errors

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
HASH_DIGITS = 16


class CheckpointError(Exception):
    """What is wrong with a checkpoint, in one line that names the directory."""


class DataSource(BaseModel):
    """A data set the weights were trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    licence: str
    credit: str


class CheckpointConfig(BaseModel):
    """config.json, format 1. Unknown top-level keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="maskserve checkpoint")

    format: Literal[1] = Field(default=1, description="version of this file's layout")
    family: str = Field(description="a family of the entry-point group, or a tokenizer kind")
    architecture: dict[str, Any] = Field(description="fields of the family's config dataclass")
    tokenizer: str | None = Field(
        default=None, description="tokenizer directory, relative to this one; absent in a tokenizer"
    )
    classes: list[str] = Field(default=[], description="class names by index")
    vocabulary: list[str] = Field(default=[], description="terms of captions by index, instead of classes")
    decoding: dict[str, Any] = Field(default={}, description="default sampling parameters")
    quality: dict[Literal["low", "medium", "high"], int] = Field(
        default={"low": 4, "medium": 8, "high": 16}, description="steps per quality word"
    )
    training: dict[str, Any] = Field(default={}, description="provenance: recipe, steps, source")
    data: list[DataSource] = Field(default=[], description="training data, licence and credit")
    licence: str = Field(description="licence of the weights: an SPDX id where one exists")
    noncommercial: bool = Field(default=False, description="the licence forbids commercial use")
    metrics: dict[str, Any] = Field(default={}, description="measured quality, free form")

    @property
    def conditions(self) -> list[str]:
        """What can be asked for, by index: classes or terms."""
        return self.classes or self.vocabulary


def json_schema() -> dict[str, Any]:
    """The JSON Schema of config.json."""
    return CheckpointConfig.model_json_schema()


def read_config(directory: Path) -> CheckpointConfig:
    """Read `directory`/config.json. CheckpointError says in one line what is wrong with it."""
    return read_config_file(directory / CONFIG)


def read_config_file(path: Path) -> CheckpointConfig:
    """Read a config.json under whatever name. CheckpointError says in one line what is wrong with it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise CheckpointError(f"{path}: not JSON: {error}") from None
    try:
        return CheckpointConfig.model_validate(values)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {'; '.join(describe_errors(error))}") from None


def save(directory: Path, config: CheckpointConfig, state: "Mapping[str, Tensor]") -> None:
    """Write a checkpoint that the service reads: config.json, and `state` in half precision as model.safetensors.

    `models.weights.save_checkpoint` is the same for other precisions. CheckpointError when a value does not survive
    that (overflow or a NaN). The model card is the caller's.
    """
    from models.weights import save_checkpoint

    save_checkpoint(directory, config, state)


def tokenizer_directory(directory: Path, config: CheckpointConfig) -> Path:
    """Where the tokenizer of a checkpoint lies; CheckpointError when it names none."""
    if config.tokenizer is None:
        raise CheckpointError(f"{directory / CONFIG}: tokenizer: no tokenizer is named")
    if Path(config.tokenizer).is_absolute():
        raise CheckpointError(f"{directory / CONFIG}: tokenizer: must be a relative path")
    return directory / config.tokenizer


def weight_files(directory: Path) -> list[Path]:
    """The weight files of one directory, by name; CheckpointError when there is none."""
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{directory}: no *.safetensors file")
    return files


def tensor_shapes(directory: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every stored tensor, read from the headers alone.

    CheckpointError when a file is truncated, damaged or repeats a tensor of another file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(directory):
        try:
            with safe_open(path, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    if key in shapes:
                        raise CheckpointError(f"{path}: {key} is also in another file")
                    shapes[key] = tuple(file.get_slice(key).get_shape())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: truncated or damaged: {error}") from None
    return shapes


def problems(directory: Path) -> list[str]:
    """One sentence per thing that keeps `directory` from being used; empty when it is sound.

    Looks at the files of the checkpoint and of its tokenizer, not at tensor values; whether the
    tensors fit the architecture is seen when a module is loaded.
    """
    found = _own_problems(directory)
    try:
        config = read_config(directory)
        if config.tokenizer is not None:
            tokenizer = tokenizer_directory(directory, config)
            if not tokenizer.is_dir():
                found.append(f"{directory}: its tokenizer {config.tokenizer} is missing")
            elif not (wrong := _own_problems(tokenizer)) and read_config(tokenizer).tokenizer:
                found.append(f"{directory}: its tokenizer {config.tokenizer} is no tokenizer")
            else:
                found += wrong
    except CheckpointError as error:
        found.append(str(error))
    return list(dict.fromkeys(found))


def _own_problems(directory: Path) -> list[str]:
    found: list[str] = []
    for look in (read_config, tensor_shapes):
        try:
            look(directory)
        except CheckpointError as error:
            found.append(str(error))
    return found


def checkpoint_hash(directory: Path) -> str:
    """The first 16 hex digits of a SHA-256 over config.json, the weights, the tokenizer's, and those of other models in
    folders of the directory.

    File names count, the directory's own name and the model card do not.
    """
    digest = hashlib.sha256()
    _update(digest, directory)
    config = read_config(directory)
    tokenizer = None if config.tokenizer is None else tokenizer_directory(directory, config)
    if tokenizer is not None:
        _update(digest, tokenizer)
    for place in sorted(path.parent for path in directory.glob(f"*/{CONFIG}")):
        if tokenizer is None or not place.samefile(tokenizer):
            digest.update(f"{place.name}\n".encode())
            _update(digest, place, ("*.safetensors", "*.bin", "*.model", "*.txt", "tokenizer*.json"))
    return digest.hexdigest()[:HASH_DIGITS]


def _update(digest: "hashlib._Hash", directory: Path, weights: tuple[str, ...] = ()) -> None:
    """`weights`: patterns of files, of which there may be none; those of a checkpoint are there."""
    found = sorted(file for pattern in weights for file in directory.glob(pattern))
    files = found if weights else weight_files(directory)
    for path in [directory / CONFIG, *files]:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
