"""From a folder of sounds to a checkpoint: what is there, and the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator

from models.checkpoint import DataSource
from models.tokenizers.spectral_config import SpectralConfig
from training import processes
from training.data.sound_folder import PreparedSounds, SoundShape, list_sounds, prepare_sounds
from training.data.sounds import SoundSet
from training.marks import clear
from training.progress import counted
from training.recipe import Recipe, read_recipe
from training.runs import run_sounds
from training.sound_material import CAPTIONS, WAVES, SoundMaterial
from training.where import Where

TOKENS = 50  # a second
WINDOW = 0.064  # seconds of a spectrum; a token has two
RATIOS: Mapping[int, tuple[int, ...]] = {
    8000: (4, 5, 8),
    16000: (2, 4, 5, 8),
    24000: (3, 4, 5, 8),
    32000: (4, 4, 5, 8),
    48000: (4, 5, 6, 8),
}
"""Strides of an EnCodec: the widest where the rate is highest, which takes the least time."""


@dataclass(frozen=True)
class SoundsJob:
    """What the user asked for."""

    data: Path
    out: Path
    rate: int = 16000
    seconds: float = 4.0
    recipe: str = "sound"
    changes: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"
    credit: str = ""

    @property
    def cache(self) -> Path:
        return self.out / "sounds"


def plan(job: SoundsJob) -> Recipe:
    """The recipe with the sizes of the sounds. Raises ValueError."""
    if job.out.resolve().is_relative_to(job.data.resolve()):
        raise ValueError(f"--out {job.out} lies inside --data {job.data}: its sounds would become training data")
    if job.rate not in RATIOS:
        raise ValueError(f"--rate is {', '.join(map(str, RATIOS))}, not {job.rate}")
    if not 0.5 <= job.seconds <= 60.0:
        raise ValueError(f"--seconds is 0.5 to 60, not {job.seconds:g}")
    kind = {key: text for key, text in job.changes.items() if key == "codec.kind"}
    recipe = read_recipe(job.recipe, kind)
    if recipe.codec is None:
        raise ValueError(f"recipe {job.recipe} has no 'codec' stage: it is not for sounds")
    sizes: dict[str, object] = {"sample_rate": job.rate}
    if isinstance(recipe.codec.network, SpectralConfig):
        sizes |= {"stride": job.rate // TOKENS // 2, "spectra": 2, "window": round(job.rate * WINDOW)}
    else:
        sizes |= {"ratios": list(RATIOS[job.rate])}
    return read_recipe(
        job.recipe, {f"codec.network.{name}": str(size) for name, size in sizes.items()} | {**job.changes}
    )


def prepared(job: SoundsJob) -> PreparedSounds:
    """Decode the folder. Raises NoSounds, BadCaptions."""
    listing, shape = list_sounds(job.data), SoundShape(job.rate, round(job.seconds * 50) / 50)
    with counted("reading sounds", len(listing.captions)) as tell:
        return prepare_sounds(listing, shape, job.cache / WAVES, job.cache / CAPTIONS, tell)


def run(job: SoundsJob, recipe: Recipe, data: PreparedSounds, where: Where) -> Path:
    """Train; returns the checkpoint. Raises TrainingFailed and Stopped."""
    accelerator: Accelerator = processes.accelerator(where.device)
    if accelerator.is_main_process and not where.resume:
        clear(where.out, {"--tokenizer": where.tokenizer})
    accelerator.wait_for_everyone()
    source = DataSource(name=f"{data.files} sounds of a folder", licence=job.licence, credit=job.credit or "unknown")
    material = SoundMaterial(SoundSet(data.waves, data.captions, job.rate), source)
    return run_sounds(recipe, where, accelerator, material)
