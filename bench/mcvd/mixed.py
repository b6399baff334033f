"""The engine at 1, 4 and 8 clients that all ask for the same task, and that ask for all four in turn."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from bench.context import Context
from bench.crowd import Crowd
from bench.drive import driver
from bench.mcvd.models import load, small_checkpoint
from bench.results import Table, quartiles, spread
from models.decoder import GenerationRequest
from models.mcvd.decoder import MCVDDecoder
from models.spec import ClipTask, Sampling

TITLE = "MCVD: tasks side by side"
CLIENTS = (1, 4, 8)
ANSWERS = 2  # per client and repeat
STEPS = 20
NOTE = (
    f"Blocks per second, {STEPS} steps each. Same: all clients ask for predictions. Mixed: for predictions, what was "
    "before, what is between, and clips from nothing, in turn. Clients are closed loops that began at random moments; "
    "the measurements take turns. Ratios above 1: mixed ones are faster."
)


def run(context: Context) -> None:
    with small_checkpoint(context) as directory:
        decoder = context.aside(lambda: load(directory, context.device, context.dtype))
        sampling = Sampling(num_inference_steps=2 if context.quick else STEPS)
        clients = CLIENTS[:1] if context.quick else CLIENTS
        tasks = {"same": decoder.footage.tasks[:1], "mixed": decoder.footage.tasks}
        rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        for turn in range(context.repeats):
            for name, asked in tasks.items():
                with driver(context, directory, warm=sampling, asks=_asks(decoder, asked)) as loop:
                    apart = loop.run(sampling, 1, 1)
                    for count in clients:
                        with Crowd(loop, sampling, count, apart, seed=turn) as crowd:
                            rates[name, count].append(ANSWERS * count / crowd.seconds(ANSWERS * count))
        table = Table(
            f"{directory.name}: {decoder.config.frames} frames a block",
            ["clients", "same", "mixed", "mixed / same", "same / one client"],
            note=NOTE,
        )
        for count in clients:
            same, mixed, one = rates["same", count], rates["mixed", count], rates["same", clients[0]]
            table.rows.append(
                [
                    count,
                    spread(same),
                    spread(mixed),
                    quartiles(a / b for a, b in zip(mixed, same, strict=True)),
                    quartiles(a / b for a, b in zip(same, one, strict=True)),
                ]
            )
        context.add(table)


def _asks(decoder: MCVDDecoder, tasks: tuple[ClipTask, ...]) -> Callable[[int, Sampling], GenerationRequest]:
    footage, (width, height) = decoder.footage, decoder.spec.size
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, height, width, footage.channels), np.uint8)
    past, future = noise[0, : footage.past], noise[1, : footage.future]

    def ask(number: int, sampling: Sampling) -> GenerationRequest:
        task = tasks[number % len(tasks)]
        return GenerationRequest(
            "generate",
            None,
            sampling,
            seed=number,
            frames=footage.block,
            clip_task=task,
            past=past if task in ("prediction", "interpolation") else None,
            future=future if task in ("past", "interpolation") else None,
        )

    return ask
