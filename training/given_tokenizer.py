"""Tokenizers that a run is given: tokenizer directories of ours, and folders that diffusers saved."""

from pathlib import Path

from accelerate import Accelerator

from models.tokenizers.diffusers_folder import KIND, content_of, find_part, read_sizes
from models.tokenizers.kinds import TokenizerConfig, read_tokenizer

IMPORTED = "tokenizer-imported"  # the converted copy, in the run directory
CONTINUOUS = "AutoencoderKL"


def given_sizes(place: Path, asked: int | None, fallback: int) -> TokenizerConfig:
    """Sizes of the tokenizer in `place`.

    One of diffusers fits several resolutions: it gets the pixels a side that were `asked` for, else its own
    `sample_size`, else `fallback`. Raises CheckpointError.
    """
    part = find_part(place)
    if part is None:
        return read_tokenizer(place)
    if content_of(part)[KIND] == CONTINUOUS:
        from models.tokenizers.kl_folder_importer import read_kl_sizes

        return read_kl_sizes(part, asked)
    return read_sizes(part, asked, fallback)


def usable(place: Path, resolution: int, out: Path, accelerator: Accelerator) -> Path:
    """A tokenizer directory: `place` itself, or the copy in `out` of what diffusers saved there, anew each time.

    `resolution`: pixels a side of the pictures. Raises CheckpointError.
    """
    part = find_part(place)
    if part is None:
        return place
    copy = out / IMPORTED
    if accelerator.is_main_process:
        from models.tokenizers.diffusers_importer import import_diffusers_vq
        from models.tokenizers.kl_folder_importer import import_diffusers_kl

        convert = import_diffusers_kl if content_of(part)[KIND] == CONTINUOUS else import_diffusers_vq
        convert(place, copy, resolution)
    accelerator.wait_for_everyone()
    return copy
