"""General-MIDI loops with exact captions, drawn from numbers and rendered by a SoundFont: as many as wanted.

Two bars of four beats: a chord every two beats, a lead that picks its notes, a bass on the roots, drums or none. What a
caption says is what was played, so controls can be checked. The pairs in `HELD_OUT` are never trained on.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from training.data.fashion import MissingDataError

RATE = 16_000
BEATS = 8
TEMPI = (80, 96, 120, 160)  # beats a minute; two bars of each are whole tokens of 20 ms
INSTRUMENTS = {
    "piano": 0, "marimba": 12, "organ": 16, "guitar": 24, "strings": 48, "trumpet": 56, "flute": 73, "synth": 80,
}  # fmt: skip
BASS = 33
KEYS = ("c", "c sharp", "d", "e flat", "e", "f", "f sharp", "g", "a flat", "a", "b flat", "b")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (0, 3, 0, 4), (5, 3, 0, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 3, 6, 2), (0, 5, 3, 4)),
}
PATTERNS = (  # of eighths: which chord note, 3 is the octave; None: a rest
    (0, 1, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (0, None, 2, 1),
    (0, 1, 2, None), (2, 1, 0, 1), (0, 2, 3, 2), (0, None, 0, 2),
)  # fmt: skip
HELD_OUT = frozenset(
    {("piano", 160), ("marimba", 80), ("organ", 120), ("guitar", 96), ("strings", 160), ("trumpet", 96), ("flute", 120),
     ("synth", 80)}
)  # fmt: skip
KICK, SNARE, HAT = 36, 38, 42
LOUDNESS = {
    "piano": 0,
    "marimba": -5,
    "organ": -12,
    "guitar": -3,
    "strings": -12,
    "trumpet": -15,
    "flute": -10,
    "synth": -7,
}  # dB: these make every lead of FluidR3 about 4 dB louder than the bass
BASS_LOUDNESS, DRUMS_LOUDNESS = -19, -15
VOLUME = 7  # the controller; its value is cubed
LEVEL = 0.7  # peak
EDITION = 2  # of what the same numbers sound like
FONTS = (
    "/usr/share/sounds/sf3/FluidR3Mono_GM.sf3",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf3/default-GM.sf3",
    "/usr/share/sounds/sf2/TimGM6mb.sf2",
)


@dataclass(frozen=True)
class Loop:
    """What is played; `seed` draws chords and notes."""

    instrument: str
    tempo: int
    key: int  # semitones above c
    mode: str
    drums: bool
    seed: int

    @property
    def caption(self) -> str:
        drums = "with drums" if self.drums else "without drums"
        return f"{self.instrument} loop, {self.tempo} bpm, {KEYS[self.key]} {self.mode}, {drums}"

    @property
    def samples(self) -> int:
        """Of two bars."""
        return BEATS * 60 * RATE // self.tempo


@dataclass(frozen=True)
class Note:
    """`begin` and `end` in beats; channel 0 is the lead, 1 the bass, 9 the drums."""

    channel: int
    key: int
    velocity: float
    begin: float
    end: float


def draw_loop(seed: int, held_out: bool = False) -> Loop:
    """A random one, of the pairs that are trained on or of the others."""
    lots = Random(seed)
    pairs = [pair for pair in product(INSTRUMENTS, TEMPI) if (pair in HELD_OUT) is held_out]
    instrument, tempo = lots.choice(pairs)
    return Loop(instrument, tempo, lots.randrange(12), lots.choice(tuple(SCALES)), lots.random() < 0.5, seed)


def notes(loop: Loop) -> list[Note]:
    lots = Random(f"notes {loop.seed}")
    scale = SCALES[loop.mode]

    def pitch(degree: int, base: int) -> int:
        octave, place = divmod(degree, 7)
        return base + loop.key + 12 * octave + scale[place]

    found: list[Note] = []
    pattern, held = lots.choice(PATTERNS), lots.random() < 0.5
    for at, root in enumerate(lots.choice(PROGRESSIONS[loop.mode])):
        begin = 2.0 * at
        chord = [root, root + 2, root + 4, root + 7]
        for eighth, which in enumerate(pattern):
            if which is not None:
                place = begin + eighth / 2
                found.append(Note(0, pitch(chord[which], 60), 0.75 + 0.2 * lots.random(), place, place + 0.48))
        if held:
            found += [Note(0, pitch(degree, 60), 0.5, begin, begin + 1.9) for degree in chord[:3]]
        low = pitch(root, 36) - (12 if loop.key + scale[root % 7] > 9 else 0)
        found += [Note(1, low, 0.8, begin + beat, begin + beat + 0.9) for beat in (0.0, 1.0)]
    return found + (_drums(lots) if loop.drums else [])


def _drums(lots: Random) -> list[Note]:
    extra = lots.choice(((), (3.5,), (1.5, 5.5), (7.5,)))
    hits = [(KICK, beat, 0.95) for beat in (0.0, 2.0, 4.0, 6.0, *extra)]
    hits += [(SNARE, beat, 0.85) for beat in (1.0, 3.0, 5.0, 7.0)]
    hits += [(HAT, eighth / 2, 0.6 if eighth % 2 else 0.75) for eighth in range(2 * BEATS)]
    return [Note(9, key, velocity, beat, beat + 0.25) for key, beat, velocity in hits]


class Renderer:
    """A synthesiser with a General-MIDI SoundFont; one per process."""

    def __init__(self, font: Path | None = None) -> None:
        """Raises MissingDataError, which names the packages, where there is no synthesiser or SoundFont."""
        try:
            import tinysoundfont  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise MissingDataError("loops need tinysoundfont: pip install --no-deps tinysoundfont") from None
        self.synth: Any = tinysoundfont.Synth(samplerate=RATE)
        self.font: int = self.synth.sfload(str(font or find_font()))

    def __call__(self, loop: Loop) -> np.ndarray:
        """float32 [samples]: the second of two rounds, so that what rings on from its end is heard at its beginning."""
        synth = self.synth
        synth.sounds_off()
        synth.program_select(0, self.font, 0, INSTRUMENTS[loop.instrument])
        synth.program_select(1, self.font, 0, BASS)
        synth.program_select(9, self.font, 128, 0, is_drums=True)
        for channel, loudness in ((0, LOUDNESS[loop.instrument]), (1, BASS_LOUDNESS), (9, DRUMS_LOUDNESS)):
            synth.control_change(channel, VOLUME, round(127 * 10.0 ** (loudness / 60)))
        played, sounds = 0, []
        for when, begins, note in _events(loop):
            if when > played:
                sounds.append(self._generate(when - played))
                played = when
            if begins:
                synth.noteon(note.channel, note.key, round(127 * note.velocity))
            else:
                synth.noteoff(note.channel, note.key)
        sounds.append(self._generate(2 * loop.samples - played))
        wave = np.concatenate(sounds)[loop.samples :]
        return (wave * (LEVEL / max(1e-6, float(np.abs(wave).max())))).astype(np.float32)

    def _generate(self, count: int) -> np.ndarray:
        stereo = np.frombuffer(bytes(self.synth.generate(count)), np.float32).reshape(-1, 2)
        return stereo.mean(axis=1)


def _events(loop: Loop) -> Iterator[tuple[int, bool, Note]]:
    """(sample, whether it begins, note) of two rounds, in order; ends come before what begins with them."""
    found = []
    for turn, note in product(range(2), notes(loop)):
        for beat, begins in ((note.begin, True), (note.end, False)):
            when = turn * loop.samples + round(beat * 60 * RATE / loop.tempo)
            if when < 2 * loop.samples:
                found.append((when, begins, note))
    return iter(sorted(found, key=lambda event: event[:2]))


def find_font() -> Path:
    """The one that SOUNDFONT names, else that of a package. Raises MissingDataError."""
    own = os.environ.get("SOUNDFONT")
    for place in (*([own] if own else []), *FONTS):
        if Path(place).is_file():
            return Path(place)
    raise MissingDataError(
        "loops need a General-MIDI SoundFont: apt-get install fluidr3mono-gm-soundfont, or name one in SOUNDFONT"
    )


def tiled(wave: np.ndarray, begin: int, count: int) -> np.ndarray:
    """`count` samples of a loop that goes on and on, from `begin`."""
    return wave[(begin + np.arange(count)) % len(wave)]


def render_loops(
    first: int, count: int, seconds: float, held_out: bool = False, tell: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, list[str]]:
    """int16 [count, samples] with the seeds `first` and on, from the first beat, and their captions."""
    render, length = Renderer(), round(seconds * RATE)
    waves, captions = np.empty((count, length), np.int16), []
    for at in range(count):
        loop = draw_loop(first + at, held_out)
        waves[at] = np.rint(tiled(render(loop), 0, length) * 32767).astype(np.int16)
        captions.append(loop.caption)
        tell(1)
    return waves, captions
