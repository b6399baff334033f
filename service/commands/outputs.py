"""Where made samples go: a file, a directory of them, or one .npz."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from models.decoder import GenerationRequest
from service.commands.refusal import Refusal
from service.http.audio_output import AudioOutput
from service.http.making import Output
from service.http.video_output import VideoOutput
from service.media.sounds import SoundFormat
from service.media.tags import make_tags
from service.media.videos import VideoFormat
from service.offline import Made

NO_CLASS = -1
ENDINGS = {
    "image": (".png",),
    "audio": (".wav", ".flac", ".mp3", ".opus"),
    "video": (".mp4", ".webm", ".gif", ".mkv", ".zip"),
}


@dataclass(frozen=True)
class Sample:
    made: Made
    request: GenerationRequest
    understood: str | None
    output: Output

    @property
    def media(self) -> np.ndarray:
        return self.output.media(self.made.artifact.array)

    def file(self, ending: str = "") -> bytes:
        """What the server would answer with; a sound or a video in the format of `ending`."""
        output = self.output
        if isinstance(output, AudioOutput) and ending:
            output = replace(output, format=cast(SoundFormat, ending.removeprefix(".")))
        if isinstance(output, VideoOutput) and ending:
            output = replace(output, format=cast(VideoFormat, ending.removeprefix(".")))
        return output.file(self.media, make_tags(self.request, self.made.report, self.understood))


def check_target(out: Path, count: int, modality: str) -> None:
    """Complain before the work, not after it. Raises Refusal."""
    endings = ENDINGS[modality]
    if out.suffix in endings and count != 1:
        raise Refusal(f"there are {count} samples: name a directory or a .npz file, not {out}")
    if out.suffix not in ("", *endings, ".npz"):
        raise Refusal(f"{out}: samples go to a file in {', '.join(endings)}, a directory or a .npz file")
    if out.suffix == "" and out.is_file():
        raise Refusal(f"{out} is a file, not a directory")


def write(out: Path, samples: Sequence[Sample]) -> list[Path]:
    """Write as the name says; the .npz holds images uint8 [N, H, W, C] and labels int64 [N] (-1: no class), sounds
    float32 [N, S, C] and their rate, or videos uint8 [N, F, H, W, C] and their fps.
    """
    if out.suffix == ".npz":
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_arrays(out, samples)
        return [out]
    if out.suffix:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(samples[0].file(out.suffix))
        return [out]
    out.mkdir(parents=True, exist_ok=True)
    digits = max(4, len(str(len(samples) - 1)))
    files = [out / f"{at:0{digits}d}.{sample.output.format}" for at, sample in enumerate(samples)]
    for file, sample in zip(files, samples, strict=True):
        file.write_bytes(sample.file())
    return files


def _write_arrays(out: Path, samples: Sequence[Sample]) -> None:
    media = [sample.media for sample in samples]
    output = samples[0].output
    if isinstance(output, AudioOutput):
        if len({len(wave) for wave in media}) > 1:
            raise Refusal(f"{out}: sounds of different lengths do not fit into one array: name a directory")
        np.savez_compressed(out, sounds=np.stack(media), rate=np.int64(output.rate))
        return
    if isinstance(output, VideoOutput):
        if len({len(frames) for frames in media}) > 1:
            raise Refusal(f"{out}: videos of different lengths do not fit into one array: name a directory")
        np.savez_compressed(out, videos=np.stack(media), fps=np.float64(output.fps))
        return
    conditions = [sample.request.condition for sample in samples]
    labels = [condition if isinstance(condition, int) else NO_CLASS for condition in conditions]
    np.savez_compressed(out, images=np.stack(media), labels=np.array(labels, dtype=np.int64))
