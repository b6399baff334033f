"""`python -m bench`: measure, store as it goes, render."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from bench import batching, machine, overhead, playground, quality, reuse, serving, training
from bench.context import Bench, Context
from bench.magnet import batching as magnet_batching
from bench.magnet import quality as magnet_quality
from bench.magnet import twin as magnet_twin
from bench.mar import batching as mar_batching
from bench.mar import newcomer, recap, runs, steps
from bench.mcvd import diffusers as mcvd_diffusers
from bench.mcvd import mixed as mcvd_mixed
from bench.mcvd import quality as mcvd_quality
from bench.mcvd import spade as mcvd_spade
from bench.render import render
from bench.results import Store

MASKGIT: dict[str, Bench] = {
    "batching": batching,
    "overhead": overhead,
    "serving": serving,
    "playground": playground,
    "training": training,
    "reuse": reuse,
    "quality": quality,
}
MAR: dict[str, Bench] = {
    "mar-batching": mar_batching,
    "mar-newcomer": newcomer,
    "mar-steps": steps,
    "mar-runs": runs,
    "mar-recap": recap,
}
MAGNET: dict[str, Bench] = {
    "magnet-batching": magnet_batching,
    "magnet-quality": magnet_quality,
    "magnet-twin": magnet_twin,
}
MCVD: dict[str, Bench] = {
    "mcvd-spade": mcvd_spade,
    "mcvd-mixed": mcvd_mixed,
    "mcvd-quality": mcvd_quality,
    "mcvd-diffusers": mcvd_diffusers,
}
BENCHES = MASKGIT | MAR | MAGNET | MCVD
CHECKPOINT, MAR_CHECKPOINT = Path("checkpoints/maskgit-fashion"), Path("checkpoints/mar-fashion")
MAGNET_CHECKPOINT, MCVD_CHECKPOINT = Path("checkpoints/magnet-loops"), Path("checkpoints/mcvd-smmnist")


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    store = Store.open(options.out)
    context = Context(
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
        quick=options.quick,
        repeats=1 if options.quick else options.repeats,
        seconds=0.5 if options.quick else options.seconds,
        samples=16 if options.quick else options.samples,
        full=options.full,
        checkpoint=None,
        store=store,
    )
    for name in options.only or BENCHES:
        place = options.checkpoint
        if name in MAR:
            place = options.mar_checkpoint
        elif name in MAGNET:
            place = options.magnet_checkpoint
        elif name in MCVD:
            place = options.mcvd_checkpoint
        checkpoint = place if place.is_dir() else None
        load = machine.look()
        if load.busy and not options.force:
            print(f"{load.cpu_percent:.0f} % busy ({', '.join(load.busiest)}): measurements would mean nothing; ")
            print("wait until the machine is idle, or use --force, which the results will mention")
            return 1
        facts = {
            "machine": {**machine.describe(options.device), "dtype": options.dtype},
            "load": machine.load_facts(load),
            "weights": checkpoint.name if checkpoint else "random",
            "quick": options.quick,
            "forced": load.busy,
        }
        bench = BENCHES[name]
        store.begin(name, bench.TITLE, facts)
        print(f"== {bench.TITLE} (machine {load.cpu_percent:.0f} % busy)", flush=True)
        bench.run(replace(context, bench=name, checkpoint=checkpoint))
    if options.out.exists():
        render(options.out, options.out.with_suffix(".md"))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(["benches:", *(f"  {name:14}{bench.TITLE}" for name, bench in BENCHES.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of the networks")
    parser.add_argument("--only", nargs="+", choices=BENCHES, help="some benches; the others' results are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/bench.json"), help="results; the page lies beside it")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="random weights when it does not exist")
    parser.add_argument("--mar-checkpoint", type=Path, default=MAR_CHECKPOINT, help="the same, of the benches mar-*")
    parser.add_argument(
        "--magnet-checkpoint", type=Path, default=MAGNET_CHECKPOINT, help="the same, of the benches magnet-*"
    )
    parser.add_argument("--mcvd-checkpoint", type=Path, default=MCVD_CHECKPOINT, help="the same, of the benches mcvd-*")
    parser.add_argument("--repeats", type=int, default=5, help="of every comparison, in turn")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one HTTP measurement")
    parser.add_argument("--samples", type=int, default=1000, help="per setting of the quality sweeps")
    parser.add_argument(
        "--full",
        action="store_true",
        help="10,000 samples and three seeds for the best two settings; MAR-B also in mar-batching and mar-newcomer, "
        "and eight at once in mar-runs",
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: does everything work?")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
