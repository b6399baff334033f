"""`maskserve-train video`: what a folder holds, then the run."""

from rich.console import Console

from training.commands.skipped import tell_skipped
from training.data.video_folder import FilmClips, PreparedVideos
from training.failures import explained
from training.processes import processes
from training.videos_job import VideosJob, plan, prepared, run, stage_of
from training.where import Where


def train_videos(job: VideosJob, where: Where, dry_run: bool) -> None:
    """Report, and train unless `dry_run`. Raises what the parts raise."""
    state = processes(where.device)
    console = Console(quiet=not state.is_main_process)
    with explained("video", job.out):
        recipe = plan(job)
        with state.main_process_first():  # the others find what the first one decoded
            data = prepared(job, recipe)
        sizes = stage_of(recipe).network
        report(console, data, sizes.past + sizes.frames + sizes.future)
        if dry_run:
            console.print("Nothing was trained (--dry-run).")
            return
        place = run(job, recipe, data, where)
    console.print(f"checkpoint: {place}", soft_wrap=True, markup=False)
    console.print(f"serve it:   maskserve serve --models {job.out}", soft_wrap=True, markup=False)


def report(console: Console, data: PreparedVideos, window: int) -> None:
    clips = len(FilmClips(data.frames, data.lengths, window))
    _, side, _, channels = data.frames.shape
    console.print(
        f"{len(data.lengths)} videos, {len(data.frames):,} frames of {side}x{side} pixels, "
        f"{'in colours' if channels == 3 else 'grey'}: {clips:,} clips of {window} frames"
    )
    tell_skipped(console, data.skipped)
