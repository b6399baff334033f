"""From a folder of video files to a checkpoint: what is there, and the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.checkpoint import DataSource
from training import processes
from training.data.video_folder import FilmClips, PreparedVideos, VideoShape, list_videos, prepare_videos
from training.marks import clear
from training.progress import counted
from training.recipe import Recipe, VideoStage, read_recipe
from training.stages.video import train_video_generator
from training.video_material import VideoMaterial
from training.where import Where

SIZES = (32, 64, 128)
FRAMES, FACTS = "frames.npy", "films.json"


@dataclass(frozen=True)
class VideosJob:
    """What the user asked for."""

    data: Path
    out: Path
    size: int = 64
    colour: bool = True
    fps: float = 0.0
    recipe: str = "video"
    changes: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"
    credit: str = ""

    @property
    def cache(self) -> Path:
        return self.out / "videos"


def plan(job: VideosJob) -> Recipe:
    """The recipe with the sizes of the videos. Raises ValueError."""
    if job.out.resolve().is_relative_to(job.data.resolve()):
        raise ValueError(f"--out {job.out} lies inside --data {job.data}: its frames would become training data")
    if job.size not in SIZES:
        raise ValueError(f"--size is one of {', '.join(map(str, SIZES))}, not {job.size}")
    if not 0.0 <= job.fps <= 120.0:
        raise ValueError(f"--fps is 0 (all frames) to 120, not {job.fps:g}")
    own = {"video.network.resolution": str(job.size), "video.network.channels": "3" if job.colour else "1"}
    recipe = read_recipe(job.recipe, {**own, **job.changes} if read_recipe(job.recipe).video else None)
    stage_of(recipe)
    return recipe


def stage_of(recipe: Recipe) -> VideoStage:
    """Raises ValueError for a recipe of something else."""
    if recipe.video is None:
        raise ValueError(f"recipe {recipe.name} has no 'video' stage: it is not for videos")
    return recipe.video


def prepared(job: VideosJob, recipe: Recipe) -> PreparedVideos:
    """Decode the folder. Raises NoVideos."""
    sizes = stage_of(recipe).network
    shape = VideoShape(sizes.resolution, sizes.channels == 3, sizes.past + sizes.frames + sizes.future, job.fps)
    with counted("reading videos", len(list_videos(job.data))) as tell:
        return prepare_videos(job.data, shape, job.cache / FRAMES, job.cache / FACTS, tell)


def run(job: VideosJob, recipe: Recipe, data: PreparedVideos, where: Where) -> Path:
    """Train; returns the checkpoint. Raises TrainingFailed and Stopped."""
    accelerator, stage = processes.accelerator(where.device), stage_of(recipe)
    if accelerator.is_main_process and not where.resume:
        clear(where.out, {})
    accelerator.wait_for_everyone()
    source = DataSource(
        name=f"{len(data.lengths)} videos of a folder", licence=job.licence, credit=job.credit or "unknown"
    )
    window = stage.network.past + stage.network.frames + stage.network.future
    material = VideoMaterial(FilmClips(data.frames, data.lengths, window), source, data.mark)
    return train_video_generator(recipe, stage, material, where, accelerator)
