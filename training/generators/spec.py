"""What an unfinished generator says of itself."""

from models.spec import DecoderSpec, Sampling
from models.tokenizers.kinds import TokenizerConfig


def in_training(
    family: str, grid: tuple[int, int], classes: int, tokenizer: TokenizerConfig, sampling: Sampling
) -> DecoderSpec:
    """A spec without a checkpoint directory behind it."""
    return DecoderSpec(
        id="in-training",
        family=family,
        modality="image",
        tasks=frozenset({"generate"}),
        size=(tokenizer.grid[1] * tokenizer.factor, tokenizer.grid[0] * tokenizer.factor),
        grid=grid,
        classes=tuple(map(str, range(classes))),
        sampling=sampling,
        quality={},
        min_steps=1,
        max_steps=grid[0] * grid[1],
        max_reuse=8,
        guidable=True,
        created=0,
        checkpoint="",
        licence="",
        noncommercial=False,
    )
