"""What `evaluate --write` leaves in the checkpoint of a generator of loops: numbers, spectrograms, sounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from training.evaluate.card import QUALITY, SAMPLES
from training.evaluate.publish import write_measured
from training.objectives.spectra import magnitudes

WINDOW = 1024
SIZE, LEFT, TOP = (240, 128), 90, 18
ROWS = ("a real loop", "through the codec", "the sample")
PICTURE = "samples.png"


@dataclass(frozen=True)
class Shown:
    """caption; waves [1, S] of a loop that was played for it, of that through the codec, and of a sample."""

    caption: str
    real: Tensor
    rebuilt: Tensor
    made: Tensor

    @property
    def file(self) -> str:
        return "-".join(self.caption.replace(",", "").split()) + ".flac"


def describe_sounds(place: Path, scores: Mapping[str, Any], shown: list[Shown], rate: int) -> None:
    """Write `scores` into config.json, metrics.json and the model card of `place`, and `shown` beside it. Sections of a
    card that is there are replaced, the rest of it stays.
    """
    import soundfile

    draw(shown, place / PICTURE)
    for one in shown:
        soundfile.write(place / one.file, one.made[0].clamp(-1, 1).numpy(), rate, subtype="PCM_16")
    heard = "\n".join(f"- [{one.caption}]({one.file})" for one in shown)
    sections = {
        SAMPLES: f"![Spectrograms]({PICTURE})\n\nFor each caption: {', '.join(ROWS)}; 0 to {rate // 2000} kHz from "
        f"below, 80 dB from white to black. The samples, one seed each, not chosen:\n\n{heard}",
        QUALITY: quality(scores),
    }
    write_measured(place, scores, sections)


def draw(shown: list[Shown], path: Path) -> None:
    """Spectrograms: a column per caption."""
    width, height = SIZE
    sheet = Image.new("RGB", (LEFT + (width + 8) * len(shown), TOP + (height + 8) * len(ROWS)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, title in enumerate(ROWS):
        pen.text((4, TOP + row * (height + 8) + height // 2), title, fill="black")
    for at, one in enumerate(shown):
        left = LEFT + at * (width + 8)
        pen.text((left, 3), one.caption.replace(" loop", ""), fill="black")
        for row, wave in enumerate((one.real, one.rebuilt, one.made)):
            levels = 20.0 * magnitudes(wave.unsqueeze(0), WINDOW)[0].clamp(min=1e-6).log10()  # [F, T]
            shades = ((levels.amax() - levels) / 80.0).clamp(0, 1).flip(0)
            picture = Image.fromarray((shades * 255).to(torch.uint8).numpy()).resize(SIZE)
            sheet.paste(picture, (left, TOP + row * (height + 8)))
    sheet.save(path, optimize=True)


def quality(scores: Mapping[str, Any]) -> str:
    """The numbers of `measure_sound`."""
    codec, near = scores["codec"], scores["nearest_training_loop"]
    rows = [
        _row(title, scores[f"codec{suffix}"], scores[name])
        for title, suffix, name in (
            ("pairs that were trained on", "", "samples"),
            ("pairs that were held out", "_held_out_pairs", "held_out_pairs"),
        )
    ]
    phases = "" if codec["family"] == "encodec" else ": its phases are found, not coded, so that this says nothing"
    used = ", ".join(f"{share:.0f}" for share in codec["codes_used"])
    return f"""{codec["count"]} loops that nothing was trained on, as many others to compare with, as many samples for
the captions of the first; of pairs of instrument and tempo that were in the training set, and of those that were held
out of it. Real / through the codec / samples:

| | FAD-cls | instrument (%) | tempo within 4 % (%) |
|---|---|---|---|
{chr(10).join(rows)}

FAD-cls is the Fréchet distance of 128 features of a classifier of instruments over mel spectrograms, trained on the
same training loops; the first number is the floor. The instrument is what that classifier hears; the tempo is that of
the onsets, counted without it.

Codec: SI-SDR {codec["si_sdr_db"]:.1f} dB (median{phases}), mel distance
{codec["mel_distance"]:.3f}; codes in use {used} %.

Nearest training loop, by the correlation of log mel spectrograms: {near["likeness_median"]:.2f} in the median of
{near["count"]} samples, {near["likeness_most"]:.2f} at most ("{near["most_like_training_loop"]}"); training loops among
each other {near["training_loops_to_each_other_median"]:.2f} and {near["training_loops_to_each_other_most"]:.2f}.

Repeat with `maskserve-train evaluate CHECKPOINT --count {codec["count"]}`."""


def _row(title: str, codec: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    fads = (codec["fad_cls_floor"], codec["fad_cls_resynthesised"], made["fad_cls"])
    instruments = (codec["instrument_real"], codec["instrument_resynthesised"], made["instrument"])
    tempi = (codec["tempo_real"], codec["tempo_resynthesised"], made["tempo"])
    cells = [" / ".join(f"{value:.1f}" for value in values) for values in (fads, instruments, tempi)]
    return f"| {title} | {' | '.join(cells)} |"
