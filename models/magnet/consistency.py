"""Whether a MAGNeT checkpoint and its codec belong together. Imports without torch."""

from pathlib import Path

from models.checkpoint import CheckpointConfig, CheckpointError, tokenizer_directory
from models.magnet.config import MAGNeTConfig
from models.magnet.decoding import Decoding
from models.tokenizers.encodec_config import EnCodecConfig, read_encodec


def read_architectures(path: Path, config: CheckpointConfig) -> tuple[MAGNeTConfig, EnCodecConfig]:
    """The sizes of network and codec, once they are known to fit each other.

    CheckpointError, in one line that names the directory, for wrong fields or sizes that disagree.
    """
    try:
        network = MAGNeTConfig.from_dict(config.architecture)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if network.terms != len(config.vocabulary):
        raise CheckpointError(
            f"{path}: architecture.terms is {network.terms}, but vocabulary has {len(config.vocabulary)}"
        )
    return network, fitting_codec(path, network, tokenizer_directory(path, config))


def fitting_codec(path: Path, network: MAGNeTConfig, place: Path) -> EnCodecConfig:
    """The sizes of the codec in `place`. CheckpointError, which names `path`, where `network` needs another one."""
    codec = read_encodec(place)
    for field in ("codebooks", "codebook_size", "frame_rate"):
        own, other = getattr(network, field), getattr(codec, field)
        if own != other:
            raise CheckpointError(f"{path}: architecture.{field} is {own}, but its tokenizer has {other}")
    return codec


def check_decoding(decoding: Decoding, network: MAGNeTConfig) -> None:
    """ValueError for steps that are not one number for each codebook."""
    if len(decoding.steps) != network.codebooks:
        raise ValueError(
            f"decoding.steps has {len(decoding.steps)} numbers, but there are {network.codebooks} codebooks"
        )
