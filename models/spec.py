"""What a decoder can do, as plain values: built from config.json, read by the HTTP layer, free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Modality = Literal["image", "audio", "speech", "video"]
Task = Literal["generate", "edit", "variation"]


@dataclass(frozen=True)
class Sampling:
    """How to decode. The same words mean the same in every family.

    `num_inference_steps` counts full and reuse steps; `guidance_scale` g is `uncond + g*(cond - uncond)`, 1 is off;
    `temperature` samples tokens (with `anneal` it moves from 1 to that value as the picture fills);
    `choice_temperature` scales the Gumbel noise of the confidence, falling to 0 at the end;
    `reuse` is the number of cheap steps after each full one once `full_first` steps have run; with `reuse_buffer` they
    keep the features of the condition's rows, too.
    `schedule` is cosine | linear | arccos | power:P and gives the masked share over the run.
    `diffusion_steps` is the length of the chain that makes a continuous token (0: the model's own), of which a cheap
    step runs the share `diffusion_reuse`; what it estimates the token to be stays within ±`diffusion_clip` (0: any).
    A family reads those that `DecoderSpec.parameters` names.
    """

    num_inference_steps: int = 12
    guidance_scale: float = 1.0
    guidance_schedule: Literal["constant", "linear"] = "constant"
    temperature: float = 1.0
    anneal: bool = False
    choice_temperature: float = 4.5
    top_k: int = 0
    top_p: float = 1.0
    schedule: str = "cosine"
    draw: Literal["joint", "separate"] = "joint"
    reuse: int = 0
    full_first: int = 0
    reuse_buffer: bool = False
    diffusion_steps: int = 0
    diffusion_reuse: float = 0.5
    diffusion_clip: float = 0.0


CHAIN_PARAMETERS = frozenset(
    {"reuse_buffer", "diffusion_steps", "diffusion_reuse", "diffusion_clip"}
)  # of continuous tokens alone
TOKEN_PARAMETERS = frozenset(Sampling.__dataclass_fields__) - CHAIN_PARAMETERS


@dataclass(frozen=True)
class DecoderSpec:
    """A served model as its clients see it."""

    id: str
    family: str
    modality: Modality
    tasks: frozenset[Task]
    size: tuple[int, int]  # width, height in pixels
    grid: tuple[int, int]  # rows, columns of tokens
    classes: tuple[str, ...]
    sampling: Sampling
    quality: Mapping[str, int]  # low | medium | high -> steps
    min_steps: int
    max_steps: int
    max_reuse: int
    guidable: bool
    created: int  # unix seconds
    checkpoint: str  # content hash
    licence: str
    noncommercial: bool
    vocabulary: tuple[str, ...] = ()  # words and pairs of words that captions may hold, instead of classes
    most_words: int = 0  # terms of one caption
    parameters: frozenset[str] = TOKEN_PARAMETERS  # fields of `Sampling` that have an effect
    max_diffusion_steps: int = 0  # 0: tokens are not made by diffusion
    details: Mapping[str, object] = field(default_factory=dict)  # card facts shown by /v1/models

    @property
    def words(self) -> tuple[str, ...]:
        """The single words of the vocabulary, the most frequent first."""
        return tuple(term for term in self.vocabulary if " " not in term)

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]
