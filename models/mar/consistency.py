"""Whether a MAR checkpoint and its tokenizer belong together. Imports without torch."""

from pathlib import Path

from models.checkpoint import CheckpointConfig, CheckpointError, tokenizer_directory
from models.mar.config import MARConfig
from models.tokenizers.kinds import read_tokenizer
from models.tokenizers.kl_config import KLConfig


def read_architectures(path: Path, config: CheckpointConfig) -> tuple[MARConfig, KLConfig]:
    """The sizes of network and tokenizer, once they are known to fit each other.

    CheckpointError, in one line that names the directory, for wrong fields or sizes that disagree.
    """
    try:
        network = MARConfig.from_dict(config.architecture)
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
