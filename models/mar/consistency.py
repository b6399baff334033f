"""Whether a MAR checkpoint and its tokenizer belong together. Imports without torch."""

from pathlib import Path

from models.architecture import parse_architecture
from models.checkpoint import CheckpointConfig, CheckpointError, tokenizer_directory
from models.decoding.schedules import parse as parse_schedule
from models.mar.config import MARConfig
from models.spec import Sampling
from models.tokenizers.kinds import read_tokenizer
from models.tokenizers.kl_config import KLConfig

MAX_STEPS = 256


def read_architectures(path: Path, config: CheckpointConfig) -> tuple[MARConfig, KLConfig]:
    """The sizes of network and tokenizer, once they are known to fit each other.

    CheckpointError, in one line that names the directory, for wrong fields or sizes that disagree.
    """
    try:
        network = MARConfig.from_dict(config.architecture)
        check_defaults(parse_architecture(Sampling, config.decoding, "decoding"), config, network)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if network.num_classes != len(config.classes):
        raise CheckpointError(
            f"{path}: architecture.num_classes is {network.num_classes}, but the names listed are {len(config.classes)}"
        )
    return network, fitting_tokenizer(path, network, tokenizer_directory(path, config))


def fitting_tokenizer(path: Path, network: MARConfig, place: Path) -> KLConfig:
    """The sizes of the tokenizer in `place`. CheckpointError, which names `path`, where `network` needs another one."""
    tokenizer = read_tokenizer(place)
    if not isinstance(tokenizer, KLConfig):
        raise CheckpointError(f"{path}: a mar needs a tokenizer of kind kl, {place} has codes")
    if network.channels != tokenizer.latent_channels:
        raise CheckpointError(
            f"{path}: architecture.channels is {network.channels}, but its tokenizer has {tokenizer.latent_channels}"
        )
    latents = tuple(side * network.patch for side in network.grid)
    if latents != tokenizer.grid:
        raise CheckpointError(
            f"{path}: architecture.grid and patch are for {_size(latents)} latents, its tokenizer makes "
            f"{_size(tokenizer.grid)} of {tokenizer.resolution} pixels a side"
        )
    return tokenizer


def _size(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))


def check_defaults(sampling: Sampling, config: CheckpointConfig, network: MARConfig) -> None:
    """ValueError for default sampling parameters that no request could run with."""
    parse_schedule(sampling.schedule)
    for name, steps in [("decoding.num_inference_steps", sampling.num_inference_steps), *config.quality.items()]:
        if not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"{name} is {steps}, outside 1 to {MAX_STEPS}")
    if sampling.diffusion_steps and not 2 <= sampling.diffusion_steps <= network.train_steps:
        raise ValueError(f"decoding.diffusion_steps is {sampling.diffusion_steps}, outside 2 to {network.train_steps}")
    if not 0.0 < sampling.diffusion_reuse <= 1.0:
        raise ValueError(f"decoding.diffusion_reuse is {sampling.diffusion_reuse}, no share above 0 and up to 1")
    for name in ("temperature", "guidance_scale", "reuse", "full_first", "diffusion_clip"):
        if getattr(sampling, name) < 0:
            raise ValueError(f"decoding.{name} is negative")
