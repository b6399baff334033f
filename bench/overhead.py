"""Where a tick's time goes, and how much of the wall lies outside ticks."""

from collections.abc import Callable
from typing import Any

from bench.batching import IN_FLIGHT, MODES
from bench.context import Context
from bench.drive import Driver, driver
from bench.models import small_checkpoint
from bench.results import Table, spread
from models.maskgit.decoder import MaskGITDecoder

TITLE = "Share of time outside the networks"
PARTS = ("embed", "trunk", "head", "decode")


def run(context: Context) -> None:
    images = 2 if context.quick else 4 * IN_FLIGHT
    table = Table(
        f"{IN_FLIGHT} in flight, percent",
        ["mode", *PARTS, "rest of the tick", "outside ticks", "sequences per step"],
        note="Columns up to `rest of the tick` are shares of tick time: token and class embedding, transformer blocks, "
        "output head with the projection to the codebook, tokenizer. The rest is row bookkeeping, guidance, noise, "
        "sampling, ranking, commit. `outside ticks` is the share of wall time in planning, publishing and the inbox.",
    )
    with small_checkpoint(context.checkpoint) as directory, driver(context, directory) as loop:
        decoder = loop.engine.decoders[loop.model]
        assert isinstance(decoder, MaskGITDecoder)
        spent: dict[str, float] = {}
        _watch(context, decoder, spent)
        for mode, sampling in MODES.items():
            loop.run(sampling, IN_FLIGHT, min(images, IN_FLIGHT))
            shares: list[list[float]] = []
            width = 0.0
            for _ in range(context.repeats):
                row, width = _measure(loop, sampling, images, spent)
                shares.append(row)
            columns = [spread(values, digits=3) for values in zip(*shares, strict=True)]
            table.rows.append([mode, *columns, width])
    context.add(table)


def _measure(loop: Driver, sampling: Any, images: int, spent: dict[str, float]) -> tuple[list[float], float]:
    """Percent per part, rest, outside; mean samples per step."""
    records = loop.watch()
    spent.clear()
    wall = loop.run(sampling, IN_FLIGHT, images)
    ticks = sum(record.elapsed for record in records)
    parts = [100.0 * spent.get(part, 0.0) / ticks for part in PARTS]
    steps = [record.samples for record in records if record.kind == "step"]
    return [*parts, 100.0 - sum(parts), 100.0 * (1.0 - ticks / wall)], sum(steps) / len(steps)


def _watch(context: Context, decoder: MaskGITDecoder, spent: dict[str, float]) -> None:
    """Clocks around the networks of this one decoder."""

    def clocked(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            with context.stopwatch(spent, name):
                return act(*args)

        return timed

    network: Any = decoder.network
    network.embed = clocked("embed", network.embed)
    network.trunk = clocked("trunk", network.trunk)
    for module in (network.mlm_layer, decoder.project):
        module.forward = clocked("head", module.forward)
    tokenizer: Any = decoder.tokenizer
    tokenizer.decode_batched = clocked("decode", tokenizer.decode_batched)
