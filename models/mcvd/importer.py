"""Official MCVD weights (`checkpoint_<step>.pt` beside its `config.yml`) -> a checkpoint directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported, description
from models.keys import translate
from models.mcvd.config import MCVDConfig
from models.mcvd.diffusion import Levels
from models.mcvd.keys import official_names
from models.mcvd.network import MCVD
from models.mcvd.official_config import config_of, read_settings
from models.official import read_content, state_of
from models.weights import save_checkpoint

SETTINGS = "config.yml"
PARALLEL = "module."
TRAINED, AVERAGED = 0, 4
"""Where the list that the published training saves has its weights; between them are optimizer, epoch and step."""
LEVELS = ("betas", "alphas", "alphas_prev", "unet.sigmas")
LAST_NORM = "norm.plain."
TOLERANCE = 1e-3  # of the recorded noise levels, relative


def published(config: MCVDConfig) -> dict[str, Any]:
    """Sampling defaults of the published evaluation."""
    return {
        "decoding": {"num_inference_steps": min(100, config.train_steps)},
        "quality": {
            word: min(steps, config.train_steps) for word, steps in (("low", 10), ("medium", 25), ("high", 100))
        },
    }


def read_mcvd(source: Path, settings: Path | None = None) -> tuple[MCVDConfig, dict[str, Tensor]]:
    """Sizes and weights, by our names, of an official file: its averaged weights, else those that were trained.

    `settings` is the config.yml of the run, by default beside the weights. Every key must be used, and the noise levels
    that the file records must be those of the settings. CheckpointError, in one line, names what does not fit.
    """
    settings = settings or source.parent / SETTINGS
    weights, levels = _parts(source)
    spade = any(".mlp_gamma." in key for key in weights)
    config = config_of(settings, read_settings(settings), spade)
    if config.spade != spade:  # names of experiments, and scripts, are known to be wrong about it
        raise CheckpointError(
            f"{settings}: model.spade is {config.spade}, but the weights of {source.name} say {spade}"
        )
    _check_levels(source, settings, config, levels)
    official = official_names(config)
    if not spade:
        _rename_last_norm(weights, official(LAST_NORM))
    state = translate(source, weights, lambda: MCVD(config), official)
    return config, {key: _turned(value) if ".NIN_" in official(key) else value for key, value in state.items()}


def import_mcvd(
    source: Path,
    out: Path,
    settings: Path | None = None,
    licence: str = UNKNOWN_LICENCE,
    dtype: torch.dtype = torch.float32,
    card: Path | None = None,
) -> Imported:
    """Write the checkpoint directory `out` from an official file, as `read_mcvd` reads it. Pixels are its tokens.

    `card` is what an export wrote beside its weights.
    """
    config, state = read_mcvd(source, settings)
    written = CheckpointConfig(
        family="mcvd",
        architecture=architecture_dict(config),
        **description(card, source, licence, published(config)),
    )
    save_checkpoint(out, written, state, dtype)
    parameters = sum(value.numel() for value in state.values())
    return Imported(out, len(state), parameters, (), written.licence)


def _parts(source: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights, averaged ones where the file has them, and the noise levels that it records."""
    content = read_content(source)
    if isinstance(content, list) and content:
        trained = _bare(state_of(source, content[TRAINED]))
        chosen = _bare(state_of(source, content[AVERAGED])) if len(content) > AVERAGED else trained
    else:
        trained = chosen = _bare(state_of(source, content))
    weights = {key: value.float() for key, value in chosen.items() if key not in LEVELS}
    return weights, {key: value for key, value in trained.items() if key in LEVELS}


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(PARALLEL): value for key, value in state.items()}


def _check_levels(source: Path, settings: Path, config: MCVDConfig, recorded: Mapping[str, Tensor]) -> None:
    levels = Levels.of(config)
    wanted = {
        "betas": levels.betas,
        "alphas": levels.kept,
        "alphas_prev": levels.kept_after,
        "unet.sigmas": levels.betas,
    }
    for key, value in recorded.items():
        if value.shape != wanted[key].shape or not torch.allclose(value.float(), wanted[key], rtol=TOLERANCE):
            raise CheckpointError(f"{source}: {key} is not what model.sigma_* and num_classes of {settings} give")


def _rename_last_norm(weights: dict[str, Tensor], name: str) -> None:
    """Older files lack a part of `name`."""
    older = name.replace("Norm_0.", "")
    for part in ("weight", "bias"):
        if older + part in weights:
            weights[name + part] = weights.pop(older + part)


def _turned(value: Tensor) -> Tensor:
    """The published maps of attention multiply from the right."""
    return value.transpose(0, 1) if value.ndim > 1 else value
