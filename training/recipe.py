"""Recipes: TOML files that say what to train on which data, stage by stage."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from models.architecture import parse_architecture
from models.magnet.config import MAGNeTConfig
from models.mcvd.config import MCVDConfig
from models.tokenizers.codec_config import CodecConfig
from models.tokenizers.codecs import CODECS
from training.generators import GENERATORS
from training.generators.base import GeneratorKind
from training.settings import (
    CodecSettings,
    DelayedSettings,
    MaskedSpanSettings,
    NoiseSettings,
    PerceptualSettings,
    ReconstructionSettings,
    TrainSettings,
)
from training.tokenizers import TOKENIZERS
from training.tokenizers.base import TokenizerKind

T = TypeVar("T")
SOUND_OBJECTIVES: Mapping[str, type[MaskedSpanSettings | DelayedSettings]] = {
    "masked": MaskedSpanSettings,
    "delayed": DelayedSettings,
}
FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class RefineStage:
    """A second pass over a trained tokenizer, of its decoder alone (adversarial, say)."""

    train: TrainSettings
    objective: ReconstructionSettings


@dataclass(frozen=True)
class TokenizerStage:
    """Trains a tokenizer; `network` and `objective` are of its kind's types.

    `perceptual` None leaves that term, and its classifier, out.
    """

    kind: TokenizerKind
    network: Any
    train: TrainSettings
    objective: ReconstructionSettings
    perceptual: PerceptualSettings | None = None
    refine: RefineStage | None = None


@dataclass(frozen=True)
class CodecStage:
    """Trains a codec on sounds; `network` is of its kind's type."""

    network: CodecConfig
    train: TrainSettings
    objective: CodecSettings


@dataclass(frozen=True)
class SoundStage:
    """Trains a MAGNeT, or its autoregressive twin, on a codec's ids; sizes that follow from these are left out.

    codebooks: the first so many of the codec's (0: all), whose first say most, are learnt and served.
    """

    network: MAGNeTConfig
    train: TrainSettings
    objective: MaskedSpanSettings | DelayedSettings
    decoding: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    codebooks: int = 0


@dataclass(frozen=True)
class VideoStage:
    """Trains an MCVD on clips."""

    network: MCVDConfig
    train: TrainSettings
    objective: NoiseSettings
    decoding: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GeneratorStage:
    """Trains a generator on the tokens of a tokenizer; `network` and `objective` are of its family's types.

    `decoding` becomes the checkpoint's sampling defaults.
    """

    kind: GeneratorKind
    network: Any
    train: TrainSettings
    objective: Any
    decoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """`tokenizer_recipe` is run first when a generator recipe is started without a tokenizer. Recipes for sound have a
    `codec` or a `sound` stage instead.
    """

    name: str
    description: str
    data: str
    tokenizer: TokenizerStage | None
    generator: GeneratorStage | None
    tokenizer_recipe: str | None
    codec: CodecStage | None = None
    sound: SoundStage | None = None
    video: VideoStage | None = None


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str, changes: Mapping[str, str] | None = None) -> Recipe:
    """A recipe by its name or by the path of a TOML file.

    `changes` overrides values by dotted key: `{"generator.train.steps": "100"}`; values are read as TOML, or as plain
    words. Raises ValueError, in one line, for an unknown recipe, key or value.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"no recipe {name!r}: there are {', '.join(recipe_names())}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    for key, text in (changes or {}).items():
        _override(values, key, text)
    stages = {"tokenizer", "generator", "codec", "sound", "video"}
    unknown = values.keys() - {"description", "data", "tokenizer_recipe", *stages}
    if unknown:
        raise ValueError(f"{path.name}: unknown key {', '.join(sorted(unknown))}")
    return Recipe(
        name=path.stem,
        description=values["description"],
        data=values["data"],
        tokenizer=_tokenizer(values["tokenizer"]) if "tokenizer" in values else None,
        generator=_generator(values["generator"]) if "generator" in values else None,
        tokenizer_recipe=values.get("tokenizer_recipe"),
        codec=_codec(values["codec"]) if "codec" in values else None,
        sound=_sound(values["sound"]) if "sound" in values else None,
        video=_video(values["video"]) if "video" in values else None,
    )


def _override(values: dict[str, Any], key: str, text: str) -> None:
    *path, last = key.split(".")
    if path and path[0] not in values:
        raise ValueError(f"--set {key}: the recipe has no {path[0]!r} stage")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {key}: {part!r} is a value, not a table")
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text


def _tokenizer(values: Mapping[str, Any]) -> TokenizerStage:
    root = "tokenizer"
    _only(values, root, ("kind", "network", "train", "objective", "perceptual", "refine"))
    kind = _named(TOKENIZERS, values.get("kind", "vqgan"), f"{root}.kind")
    perceptual = values.get("perceptual")
    return TokenizerStage(
        kind=kind,
        network=parse_architecture(kind.config, values["network"], f"{root}.network"),
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(kind.settings, values.get("objective", {}), f"{root}.objective"),
        perceptual=parse_architecture(PerceptualSettings, perceptual, f"{root}.perceptual")
        if perceptual is not None
        else None,
        refine=_refine(kind, values["refine"], f"{root}.refine") if "refine" in values else None,
    )


def _codec(values: Mapping[str, Any]) -> CodecStage:
    root = "codec"
    _only(values, root, ("kind", "network", "train", "objective"))
    kind = _named(CODECS, values.get("kind", "encodec"), f"{root}.kind")
    return CodecStage(
        network=parse_architecture(kind.config, values["network"], f"{root}.network"),
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(CodecSettings, values.get("objective", {}), f"{root}.objective"),
    )


def _sound(values: Mapping[str, Any]) -> SoundStage:
    root = "sound"
    _only(values, root, ("kind", "network", "train", "objective", "decoding", "quality", "codebooks"))
    settings = _named(SOUND_OBJECTIVES, values.get("kind", "masked"), f"{root}.kind")
    return SoundStage(
        network=parse_architecture(MAGNeTConfig, values["network"], f"{root}.network"),
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(settings, values.get("objective", {}), f"{root}.objective"),
        decoding=values.get("decoding", {}),
        quality=values.get("quality", {}),
        codebooks=values.get("codebooks", 0),
    )


def _video(values: Mapping[str, Any]) -> VideoStage:
    root = "video"
    _only(values, root, ("network", "train", "objective", "decoding", "quality"))
    return VideoStage(
        network=parse_architecture(MCVDConfig, values["network"], f"{root}.network"),
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(NoiseSettings, values.get("objective", {}), f"{root}.objective"),
        decoding=values.get("decoding", {}),
        quality=values.get("quality", {}),
    )


def _refine(kind: TokenizerKind, values: Mapping[str, Any], root: str) -> RefineStage:
    _only(values, root, ("train", "objective"))
    objective = {"decoder_only": True} | values.get("objective", {})
    return RefineStage(
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(kind.settings, objective, f"{root}.objective"),
    )


def _named(known: Mapping[str, T], name: str, root: str) -> T:
    if name not in known:
        raise ValueError(f"{root}: there is no {name!r}, only {', '.join(sorted(known))}")
    return known[name]


def _generator(values: Mapping[str, Any]) -> GeneratorStage:
    root = "generator"
    _only(values, root, ("family", "network", "train", "objective", "decoding"))
    kind = _named(GENERATORS, values.get("family", "maskgit"), f"{root}.family")
    return GeneratorStage(
        kind=kind,
        network=parse_architecture(kind.config, values["network"], f"{root}.network"),
        train=parse_architecture(TrainSettings, values["train"], f"{root}.train"),
        objective=parse_architecture(kind.settings, values.get("objective", {}), f"{root}.objective"),
        decoding=values.get("decoding", {}),
    )


def _only(values: Mapping[str, Any], root: str, allowed: tuple[str, ...]) -> None:
    unknown = sorted(values.keys() - set(allowed))
    if unknown:
        raise ValueError(f"{root}.{unknown[0]}: unknown key; there are {', '.join(allowed)}")
    missing = [key for key in ("network", "train") if key in allowed and key not in values]
    if missing:
        raise ValueError(f"{root}.{missing[0]}: missing")
