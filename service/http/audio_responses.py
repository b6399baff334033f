"""What the audio endpoints answer: shaped like OpenAI's pictures."""

from typing import Literal

from pydantic import BaseModel, Field

from service.http.making import Told
from service.http.responses import Steps, Timings


class AudioUsage(BaseModel):
    """Tokens that were really given and really decoded."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class AudioDescribed(BaseModel):
    output_format: Literal["wav", "flac", "mp3", "opus", "pcm"]
    quality: str
    duration: float = Field(description="Seconds.")
    sample_rate: int = Field(description="Of wav, flac, mp3 and pcm; opus may have another.")
    channels: int


class SoundHistory(BaseModel):
    revised_prompt: str | None = Field(None, description="What the model understood.")
    id: str = Field(description="Names this result as `audio_id` for a while.")
    seed: int
    sample: int = Field(description="Position in the request; the sound depends on (seed, sample).")
    plan: str = Field(description="What every step decided: spans or tokens, codebook by codebook.")
    codebook_steps: list[int] = Field(description="The executed steps; send them back to repeat the sound.")
    steps: Steps
    shortened: bool = False
    resumed_from_step: int = Field(0, description="Steps that another worker had done before it was lost.")


class SoundMade(SoundHistory):
    b64_json: str | None = None
    url: str | None = None


class AudioResponse(AudioDescribed):
    created: int
    data: list[SoundMade]
    usage: AudioUsage
    safety_identifier: str | None = None
    seed: int
    model: str
    checkpoint: str
    fingerprint: str
    timings: Timings


class QueuedAudio(Told):
    """With `progress`, while the request waits and its place changes."""

    type: Literal["audio_generation.queued", "audio_edit.queued"]
    place: int = Field(description="1 is next.")


class StartedAudio(Told):
    """With `progress`: the request has begun."""

    type: Literal["audio_generation.started", "audio_edit.started"]
    n: int
    seed: int


class SteppedAudio(Told):
    """With `progress`: a step is done."""

    type: Literal["audio_generation.step", "audio_edit.step"]
    audio_index: int
    step: int
    steps_total: int
    revealed: float


class AudioEvent(AudioDescribed):
    """The token grid comes with `progress`, codebook by codebook."""

    b64_json: str
    created_at: int
    audio_index: int = Field(description="Which of the `n` sounds.")
    known: list[list[bool]] | None = Field(None, description="Per codebook and token: is it decided?")
    order: list[list[int]] | None = Field(None, description="Decided by which step; 0: given or undecided.")


class PartialAudio(AudioEvent, Told):
    """Of the codebooks that are finished, or the first."""

    type: Literal["audio_generation.partial_audio", "audio_edit.partial_audio"]
    partial_audio_index: int
    step: int
    steps_total: int
    revealed: float = Field(description="Share of tokens decided, 0 to 1.")


class CompletedAudio(AudioEvent, SoundHistory, Told):
    type: Literal["audio_generation.completed", "audio_edit.completed"]
    usage: AudioUsage
    model: str
    checkpoint: str
    fingerprint: str
