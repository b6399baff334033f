"""Draws docs/images/audio-edits.png: a loop that is made, its second second made anew, the whole continued; and prints
where notes begin in each.

Usage: maskserve serve, then in another shell: python scripts/picture_sound.py [URL]
"""

import sys
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import soundfile
import torch
from PIL import Image, ImageDraw

from training.evaluate.listener import ONSETS_PER_SECOND, onsets, tempo_of
from training.objectives.spectra import magnitudes

PLACE = Path(__file__).resolve().parent.parent / "docs" / "images" / "audio-edits.png"
MODEL, PROMPT, TEMPO, SEED = "magnet-loops", "marimba loop, 120 bpm, c major, without drums", 120, 11
SECONDS, RANGE, LONGER = 3.0, (1.0, 2.0), 4.0
WIDTH, HEIGHT, TITLE = 200, 128, 18  # pixels: of a second, and of a row
GRID = 60.0 / TEMPO / 2  # an eighth
NEAR = 0.05  # seconds


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    asked = {"model": MODEL, "prompt": PROMPT, "seed": SEED, "response_format": "file"}
    first = sent(httpx2.post(f"{url}/v1/audio/generations", json={**asked, "duration": SECONDS}, timeout=120))
    changed = edited(url, first, {**asked, "seed": SEED + 1, "ranges": "{}-{}".format(*RANGE)})
    longer = edited(url, changed, {**asked, "duration": LONGER})
    rows = {
        f"{PROMPT}: 0 to {SECONDS:g} s": (first, (0.0, SECONDS)),
        "ranges={:g}-{:g}, another seed".format(*RANGE): (changed, RANGE),
        f"duration={LONGER:g}": (longer, (SECONDS, LONGER)),
    }
    draw(rows)
    report(rows)


def edited(url: str, file: bytes, fields: dict[str, object]) -> bytes:
    values = {name: str(value) for name, value in fields.items()}
    return sent(httpx2.post(f"{url}/v1/audio/edits", data=values, files={"audio": ("a.wav", file)}, timeout=120))


def sent(answer: httpx2.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return answer.content


def wave_of(file: bytes) -> tuple[torch.Tensor, int]:
    """[1, N] and samples a second."""
    samples, rate = soundfile.read(BytesIO(file), dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T[:1].copy()), rate


def begins(wave: torch.Tensor) -> list[float]:
    """Seconds at which notes begin: peaks of the onsets."""
    strength = onsets(wave)
    high = strength > 0.25 * strength.max()
    peak = np.r_[False, (strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:]), False]
    return [float(at) / ONSETS_PER_SECOND for at in np.flatnonzero(high & peak)]


def draw(rows: dict[str, tuple[bytes, tuple[float, float]]]) -> None:
    """What is made in each row lies under an orange line; ticks are where notes begin."""
    sheet = Image.new("RGB", (int(WIDTH * LONGER) + 8, len(rows) * (TITLE + HEIGHT + 12)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (title, (file, made)) in enumerate(rows.items()):
        wave, rate = wave_of(file)
        top = row * (TITLE + HEIGHT + 12)
        pen.text((4, top + 3), title, fill="black")
        levels = 20.0 * magnitudes(wave[None], 1024)[0].clamp(min=1e-6).log10()
        shades = ((levels.amax() - levels) / 80.0).clamp(0, 1).flip(0)
        size = (int(WIDTH * wave.shape[1] / rate), HEIGHT)
        sheet.paste(Image.fromarray((shades * 255).to(torch.uint8).numpy()).resize(size), (4, top + TITLE))
        y = top + TITLE + HEIGHT + 2
        pen.rectangle((4 + made[0] * WIDTH, y, 4 + made[1] * WIDTH, y + 3), fill=(230, 130, 30))
        for at in begins(wave):
            pen.line((4 + at * WIDTH, y, 4 + at * WIDTH, y + 7), fill="black", width=2)
    sheet.save(PLACE, optimize=True)


def report(rows: dict[str, tuple[bytes, tuple[float, float]]]) -> None:
    before: torch.Tensor | None = None
    for title, (file, made) in rows.items():
        wave, rate = wave_of(file)
        found = begins(wave)
        on = sum(abs(at / GRID - round(at / GRID)) * GRID < NEAR for at in found)
        kept = ""
        if before is not None:
            places = torch.arange(before.shape[1]) / rate
            outside = (places < made[0]) | (places >= made[1])
            same = torch.equal(wave[:, : before.shape[1]][:, outside], before[:, outside])
            kept = f"; samples outside of what was made are the same: {same}"
        print(f"{title}: tempo {tempo_of(wave):.1f}, {on} of {len(found)} onsets on an eighth{kept}")
        print("   ", ", ".join(f"{at:.2f}" for at in found))
        before = wave


if __name__ == "__main__":
    main()
