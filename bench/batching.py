"""Sixteen requests in flight against one at a time, engine only."""

from dataclasses import replace

from bench.context import Context
from bench.drive import driver
from bench.models import small_checkpoint
from bench.results import Table, spread
from models.spec import Sampling

TITLE = "Step batching: 16 in flight against one at a time"
STEPS, IN_FLIGHT = 12, 16

PLAIN = Sampling(num_inference_steps=STEPS)
MODES = {
    "unguided": PLAIN,
    "guided": replace(PLAIN, guidance_scale=2.0),
    "one reuse step per full one": replace(PLAIN, reuse=1),
}


def run(context: Context) -> None:
    many, few = (4, 1) if context.quick else (4 * IN_FLIGHT, IN_FLIGHT)
    table = Table(
        f"Images per second, {STEPS} steps, 8x8 tokens, 32x32 pixels",
        ["mode", f"{IN_FLIGHT} in flight", "one at a time", "ratio"],
        note="Closed loop on one engine, tokenizer included; each repeat measures both sides one after the other.",
    )
    with small_checkpoint(context.checkpoint) as directory, driver(context, directory) as loop:
        for mode, sampling in MODES.items():
            loop.run(sampling, IN_FLIGHT, min(many, IN_FLIGHT))  # the cost model learns the lane
            together, alone = [], []
            for _ in range(context.repeats):
                together.append(many / loop.run(sampling, IN_FLIGHT, many))
                alone.append(few / loop.run(sampling, 1, few))
            ratios = [a / b for a, b in zip(together, alone, strict=True)]
            table.rows.append([mode, spread(together), spread(alone), spread(ratios)])
            context.say(f"  {mode}: {spread(ratios)}")
    context.add(table)
