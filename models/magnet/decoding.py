"""How MAGNeT decodes: the published parameters. Imports without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from models.architecture import Architecture

Arrangement = Literal["nonoverlap", "stride1"]
Scoring = Literal["max", "prod"]


@dataclass(frozen=True)
class Decoding(Architecture):
    """The defaults are those of the published music models for 10 s.

    `steps` of each codebook, in their order. With `anneal`, `temperature` falls linearly to 0 within each of them, and
    `guidance` goes from the first to the second scale as the masked share does. `top_p` 1 and `top_k` 0 are off; of
    both the published code reads `top_p` alone. `greedy` takes the likeliest token.

    `guidance_share` of a codebook's steps, the first of them, are guided. A full step is followed by up to `reuse`
    cheap ones (`models.magnet.kept`), but for the first `full_first` of each codebook. `rescoring` is the weight of
    another model's probabilities when what was drawn is scored.

    What a step masks again is made of spans: "nonoverlap" ones, whose score is the best ("max") or the product ("prod")
    of their tokens' probabilities, or any ("stride1"), by the product whatever `scoring` says.
    """

    steps: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (20, 10, 10, 10)
    temperature: Annotated[FiniteFloat, Field(ge=0.0)] = 3.0
    anneal: bool = True
    top_k: NonNegativeInt = 0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    guidance: tuple[FiniteFloat, FiniteFloat] = (10.0, 1.0)
    guidance_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    arrangement: Arrangement = "nonoverlap"
    scoring: Scoring = "max"
    greedy: bool = False
    reuse: NonNegativeInt = 0
    full_first: NonNegativeInt = 0
    rescoring: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

    @property
    def defaults(self) -> dict[str, Any]:
        """As `decoding` of config.json: the words of `Sampling`."""
        return {
            "num_inference_steps": self.total,
            "codebook_steps": list(self.steps),
            "guidance_scale": self.guidance[0],
            "guidance_end": self.guidance[1],
            "temperature": 0.0 if self.greedy else self.temperature,
            "cooling": self.anneal,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "span_arrangement": self.arrangement,
            "span_scoring": self.scoring,
        }

    @property
    def total(self) -> int:
        """Steps of all codebooks."""
        return sum(self.steps)

    def with_steps(self, steps: tuple[int, ...]) -> "Decoding":
        return replace(self, steps=steps)

    def stage(self, step: int) -> tuple[int, int]:
        """The codebook that step `step` of all works on, and which of that codebook's steps it is."""
        for codebook, steps in enumerate(self.steps):
            if step < steps:
                return codebook, step
            step -= steps
        raise IndexError(f"there are {self.total} steps")

    def full(self, step: int) -> bool:
        """Whether a codebook's step evaluates all rows."""
        return step < self.full_first or (step - self.full_first) % (1 + self.reuse) == 0

    def guided(self, steps: int, step: int) -> bool:
        """Whether `step` of a codebook's `steps` is one of those that are guided."""
        return step < self.guidance_share * steps


SOUND: Mapping[str, Any] = {"temperature": 3.5, "top_p": 0.8, "guidance": (20.0, 1.0)}

Decoding.presets = {
    "small-10secs": {},
    "medium-10secs": {},
    "small-30secs": {"steps": (60, 10, 10, 10)},
    "medium-30secs": {"steps": (60, 10, 10, 10)},
    "audio-small": SOUND,
    "audio-medium": SOUND,
}
