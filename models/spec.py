"""What a decoder can do, as plain values: built from config.json, read by the HTTP layer, free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Literal

Modality = Literal["image", "audio", "speech", "video"]
Task = Literal["generate", "edit", "variation"]
ClipTask = Literal["prediction", "interpolation", "past", "unconditional"]


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
    Where tokens come in codebooks, one after the other, each has its share `codebook_steps` of the steps, guidance
    goes from `guidance_scale` to `guidance_end` within each of them and ends behind the share `guidance_share` of its
    steps, and with `cooling` the temperature falls to 0.
    What a step masks again there are spans of neighbours, `nonoverlap` or at any place (`stride1`), scored by the best
    of their tokens (`max`) or all (`prod`). An autoregressive twin makes the first `head_start` seconds, and its view
    of what was drawn has the weight `rescoring` when spans are scored.
    Where a block of frames is made by diffusion, it takes `num_inference_steps` of a `sampler` (`block_steps`: each its
    own number), at levels that lie evenly (`spacing`) or where the published code has them; `final_denoise` is its
    additional call at the end.
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
    codebook_steps: tuple[int, ...] = ()
    guidance_end: float = 1.0
    guidance_share: float = 1.0
    cooling: bool = True
    span_arrangement: Literal["nonoverlap", "stride1"] = "nonoverlap"
    span_scoring: Literal["max", "prod"] = "max"
    head_start: float = 0.0
    rescoring: float = 0.0
    sampler: Literal["ddpm", "ddim", "ddim-clipped"] = "ddpm"
    spacing: Literal["even", "official"] = "even"
    final_denoise: Literal["off", "official"] = "off"
    block_steps: tuple[int, ...] = ()

    def with_steps(self, steps: int) -> "Sampling":
        """The same in `steps` steps; codebooks keep their shares, as far as each has a step at least."""
        return replace(self, num_inference_steps=steps, codebook_steps=shared_steps(steps, self.codebook_steps))


def shared_steps(total: int, like: tuple[int, ...]) -> tuple[int, ...]:
    """`total` steps in the proportions of `like`: what is left over goes to those that miss most, the first of them."""
    if not like:
        return ()
    exact = [total * steps / sum(like) for steps in like]
    shares = [max(1, int(share)) for share in exact]
    while sum(shares) < total:
        most = max(range(len(like)), key=lambda at: (exact[at] - shares[at], -at))
        shares[most] += 1
    while sum(shares) > max(total, len(like)):
        shares[shares.index(max(shares))] -= 1
    return tuple(shares)


CHAIN_PARAMETERS = frozenset(
    {"reuse_buffer", "diffusion_steps", "diffusion_reuse", "diffusion_clip"}
)  # of continuous tokens alone
CODEBOOK_PARAMETERS = frozenset(
    {
        "codebook_steps",
        "guidance_end",
        "guidance_share",
        "cooling",
        "span_arrangement",
        "span_scoring",
        "head_start",
        "rescoring",
    }
)
CLIP_PARAMETERS = frozenset({"sampler", "spacing", "final_denoise", "block_steps"})
TOKEN_PARAMETERS = frozenset(Sampling.__dataclass_fields__) - CHAIN_PARAMETERS - CODEBOOK_PARAMETERS - CLIP_PARAMETERS


@dataclass(frozen=True)
class Sound:
    """What an audio model makes: `rate` samples a second in each of `channels`, `hop` of them per token, up to `most`
    tokens along time, of which `span` are decided together.
    """

    rate: int
    channels: int
    hop: int
    span: int
    most: int

    @property
    def least_seconds(self) -> float:
        return self.span * self.hop / self.rate

    @property
    def most_seconds(self) -> float:
        return self.most * self.hop / self.rate

    def frames(self, seconds: float | None, arrangement: str) -> int:
        """Tokens for at least `seconds`, as far as the model goes (None: all that it makes). Spans that lie side by
        side fill them.
        """
        wanted = self.most if seconds is None else min(self.most, ceil(round(seconds * self.rate) / self.hop))
        if arrangement != "nonoverlap" or wanted % self.span == 0:
            return wanted
        whole = wanted - wanted % self.span
        return whole + self.span if whole + self.span <= self.most else whole


@dataclass(frozen=True)
class Footage:
    """What a video model makes: blocks of `block` frames of `channels` colours, seen from `past` frames before them and
    `future` ones behind. `tasks` are those that it was trained for; up to `most` frames are made at once.
    """

    channels: int
    block: int
    past: int
    future: int
    tasks: tuple[ClipTask, ...]
    most: int
    fps: float

    def blocks(self, frames: int) -> int:
        return ceil(frames / self.block)


@dataclass(frozen=True)
class DecoderSpec:
    """A served model as its clients see it."""

    id: str
    family: str
    modality: Modality
    tasks: frozenset[Task]
    size: tuple[int, int]  # width, height in pixels; 0, 0 for audio
    grid: tuple[int, int]  # rows, columns of tokens; codebooks, tokens along time at most; 1, frames of a block
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
    sound: Sound | None = None  # of audio models
    footage: Footage | None = None  # of video models
    details: Mapping[str, object] = field(default_factory=dict)  # card facts shown by /v1/models

    @property
    def words(self) -> tuple[str, ...]:
        """The single words of the vocabulary, the most frequent first."""
        return tuple(term for term in self.vocabulary if " " not in term)

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]
