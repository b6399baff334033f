"""Whether a MaskGIT checkpoint and its tokenizer belong together. Imports without torch."""

from pathlib import Path

from models.checkpoint import CheckpointConfig, CheckpointError, tokenizer_directory
from models.maskgit.config import UViTConfig
from models.tokenizers.kinds import TokenizerConfig, read_tokenizer


def read_architectures(path: Path, config: CheckpointConfig) -> tuple[UViTConfig, TokenizerConfig]:
    """The sizes of network and tokenizer, once they are known to fit each other.

    CheckpointError, in one line that names the directory, for wrong fields or sizes that disagree.
    """
    try:
        network = UViTConfig.from_dict(config.architecture)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    place = tokenizer_directory(path, config)
    tokenizer = read_tokenizer(place)
    if not tokenizer.codebook_size:
        raise CheckpointError(f"{path}: a maskgit needs a tokenizer with codes, {place} has latents")
    names = config.vocabulary if network.words else config.classes
    pairs = (
        ("codebook_size", network.codebook_size, tokenizer.codebook_size, "its tokenizer has"),
        ("grid", list(network.grid), list(tokenizer.grid), "its tokenizer has"),
        (
            "num_classes",
            network.num_classes,
            len(names),
            "the names listed are",
        ),
    )
    for field, own, other, says in pairs:
        if own != other:
            raise CheckpointError(f"{path}: architecture.{field} is {own}, but {says} {other}")
    return network, tokenizer
