"""A codec with its first codebooks alone: residual quantizers are trained to be heard so, too."""

import re
from pathlib import Path

from safetensors.torch import load_file

from models.checkpoint import read_config, weight_files
from models.tokenizers.codecs import read_codec
from models.weights import save_checkpoint

BOOK = re.compile(r"quantizer\.layers\.(\d+)\.")


def keep_codebooks(place: Path, out: Path, codebooks: int) -> None:
    """Write the codec directory `out` from that in `place`. Raises ValueError where it has fewer, CheckpointError."""
    there = read_codec(place).codebooks
    if not 1 <= codebooks <= there:
        raise ValueError(f"of the {there} codebooks of {place} the first 1 to {there} can be kept, not {codebooks}")
    config = read_config(place)
    stored = {key: value for path in weight_files(place) for key, value in load_file(path).items()}
    state = {
        key: value for key, value in stored.items() if (book := BOOK.match(key)) is None or int(book[1]) < codebooks
    }
    numbers = next(value.dtype for value in state.values() if value.is_floating_point())
    architecture = {**config.architecture, "codebooks": codebooks}
    save_checkpoint(out, config.model_copy(update={"architecture": architecture}), state, numbers)
