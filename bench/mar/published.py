"""ReCAP where its paper (arXiv 2505.19089) measures it: a step per token. Such pictures are not run as a whole."""

from dataclasses import dataclass, field, replace

import numpy as np

from bench.context import Context
from bench.mar.group import Group, run_group
from bench.mar.models import GUIDANCE
from bench.mar.rows import BOUND, bounds
from bench.results import Table, spread
from models.decoding.plan import Plan, grouped
from models.mar.admission import chain_lengths
from models.mar.config import MARConfig
from models.mar.decoder import MARDecoder
from models.spec import Sampling

CHAIN, TIMED = 100, 10  # reverse steps of a published chain, and how many are run to know what one takes
PLACES = (0.0, 0.25, 0.5, 0.75, 0.95)  # shares of known tokens at which groups are measured
SETTINGS = ((1, False, 0.5), (2, False, 0.5), (3, False, 0.5), (3, True, 0.5), (3, True, 1.0))


def table(context: Context, decoder: MARDecoder, sequences: int) -> Table:
    """Sums over all steps from groups measured at a few places."""
    config = decoder.config
    repeats = 1 if sequences > 1 else min(3, context.repeats)
    made = Table(
        f"{config.length} steps of one token, chains of {CHAIN}, {sequences} at once",
        [
            "reuse u", "buffer kept", "chain of reuse steps", "plain, s", "ReCAP, s", "faster", "bound", "steps alone",
            "bound",
        ],
        note=f"Guided; seconds for {'all together' if sequences > 1 else 'one picture'}. Not run as a whole: groups "
        f"were measured at {len(PLACES)} places of the picture, with {TIMED} of the reverse steps, and the sums are "
        f"interpolated. {BOUND}",
    )  # fmt: skip
    plain = Sampling(num_inference_steps=config.length, guidance_scale=GUIDANCE, diffusion_steps=CHAIN)
    for reuse, kept, share in SETTINGS[-2:] if context.quick else SETTINGS:
        recap = replace(plain, reuse=reuse, reuse_buffer=kept, diffusion_reuse=share)
        course = _course(context, decoder, recap, sequences, repeats)
        pairs = [[course.seconds(sampling, config, at) for sampling in (plain, recap)] for at in range(repeats)]
        everything, alone = bounds(config, plain, recap)
        made.rows.append(
            [
                reuse,
                "yes" if kept else "no",
                share,
                *(spread(sum(pair[at]) for pair in pairs) for at in (0, 1)),
                spread(sum(a) / sum(b) for a, b in pairs),
                everything,
                spread(a[0] / b[0] for a, b in pairs),
                alone,
            ]
        )
        context.say(f"  {made.rows[-1]}")
    return made


@dataclass
class Course:
    """What groups took along a picture: by known tokens, then by repeat."""

    known: list[int]
    groups: list[list[Group]] = field(default_factory=list)

    def seconds(self, sampling: Sampling, config: MARConfig, repeat: int) -> tuple[float, float]:
        """Of a run's steps and of its chains."""
        here = [place[repeat] for place in self.groups]
        at = np.arange(config.length)
        opens = np.isin(at, grouped([1] * config.length, sampling.reuse, 0).boundaries)
        full = np.interp(at, self.known, [group.full for group in here])
        reuse = np.interp(at, self.known, [group.reuse for group in here])
        lengths = np.where(opens, *chain_lengths(sampling, config))
        reverse = np.mean([group.reverse for group in here])
        return float(np.where(opens, full, reuse).sum()), float(lengths.sum() * reverse)


def _course(context: Context, decoder: MARDecoder, sampling: Sampling, sequences: int, repeats: int) -> Course:
    """Groups of 1 + `sampling.reuse` steps of one token each."""
    length, width = decoder.config.length, 1 + sampling.reuse
    course = Course([min(round(place * length), length - width) for place in PLACES])
    timed = replace(sampling, diffusion_steps=TIMED, diffusion_reuse=1.0)
    for known in course.known:
        rest = length - known - width
        plan = Plan(((1,) * width, (rest,)) if rest else ((1,) * width,))
        course.groups.append([run_group(context, decoder, timed, plan, sequences) for _ in range(repeats)])
    return course
