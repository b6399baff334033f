"""`python -m bench.options`: what each training option does, on one small budget.

Trains the same small U-ViT on Fashion-MNIST's tokens once per option (and seeds, for the spread) and measures what
counts: the cross-entropy of held-out tokens and FID-cls of samples. Runs resume, finished ones are kept, `--render`
writes the page.
Two at a time on two cores:

    for shard in 0/2 1/2; do python -m bench.options --out runs/options --shard $shard --threads 1 & done; wait
    python -m bench.options --out runs/options --render docs/training-options.md
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from bench.machine import describe
from models.checkpoint import read_config
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.spec import Sampling
from models.tokenizers.kinds import load_tokenizer
from models.weights import load_module
from training.data import load
from training.data.tokens import TokenSet, load_tokens, tokenise
from training.evaluate.classifier import load_classifier
from training.evaluate.frechet import frechet_distance
from training.evaluate.metrics import assess, balanced_labels, reference, score_samples
from training.evaluate.sampling import sample_images
from training.generators.maskgit import MaskGITKind
from training.objectives.masked_tokens import MaskedTokenTask, entropies, logits_where
from training.objectives.masks import lowest, mask_counts, random_order
from training.randomness import generator_of
from training.recipe import GeneratorStage, read_recipe
from training.trainer import Trainer

TEACHER = Path("checkpoints/maskgit-fashion")
BUDGET = {
    "network.dim": "128", "network.depth": "4", "network.heads": "4",
    "train.steps": "1000", "train.batch": "128", "train.warmup": "100", "train.ema": "0.995", "train.save_every": "250",
    "train.sample_every": "100000",
}  # fmt: skip
SAMPLES, HELD_OUT = 2500, 10_000
MARKS = ("<!-- measured -->", "<!-- end -->")


@dataclass(frozen=True)
class Option:
    """Changes to the generator's stage, and where the idea is from."""

    says: str
    source: str
    changes: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    beside: str = "baseline"


SMALL = {"network.dim": "64", "network.depth": "2", "network.heads": "2"}
OPTIONS: dict[str, Option] = {
    "baseline": Option("cosine ratio, white masks", "MaskGIT, 2202.04200", seeds=(0, 1)),
    "ratio-beta": Option("ratio Beta(12, 3)", "AutoNAT, 2406.01478", {"objective.ratio": "beta"}),
    "ratio-normal": Option("ratio N(1, .25) in [.7, 1]", "MAR, 2406.11838", {"objective.ratio": "normal"}),
    "ratio-uniform": Option("ratio uniform", "absorbing diffusion, 2107.03006", {"objective.ratio": "uniform"}),
    "ratio-arccos": Option("ratio 2 arccos(r) / pi", "MaskGIT, 2202.04200", {"objective.ratio": "arccos"}),
    "disjoint": Option("twins hidden in opposite order", "DMJD, 2301.00230", {"objective.disjoint": "true"}),
    "red": Option("clumped masks", "ColorMAE, 2407.13036", {"objective.order": "red"}),
    "green": Option("patchy masks", "ColorMAE, 2407.13036", {"objective.order": "green"}),
    "blue": Option("evenly spread masks", "ColorMAE, 2407.13036", {"objective.order": "blue"}),
    "hard": Option("hard tokens hidden more often", "HPM, 2304.05919", {"objective.order": "hard"}),
    "unlike": Option("mask token kept unlike the codes", "MTO, CVPR 2024", {"objective.unlike": "0.1"}),
    "corrupt-uniform": Option(
        "5 % of visible tokens: any code", "BERT, 1810.04805",
        {"objective.corrupt": "0.05", "objective.corrupt_with": "uniform"},
    ),
    "corrupt-own": Option(
        "10 % of visible tokens: the network's own draws", "self-correction, 2211.06679",
        {"objective.corrupt": "0.1"},
    ),
    "smoothing": Option("label smoothing 0.1", "MaskGIT, 2202.04200", {"objective.smoothing": "0.1"}),
    "small": Option("a smaller network: dim 64, depth 2", "", SMALL),
    "distil": Option(
        "the same, 70 % of the loss from maskgit-fashion's", "Hinton et al., 1503.02531",
        SMALL | {"objective.distil": "0.7", "objective.teacher": str(TEACHER)}, beside="small",
    ),
}  # fmt: skip


def stage_of(option: Option, seed: int, budget: Mapping[str, str]) -> GeneratorStage:
    changes = {**BUDGET, **option.changes, **budget, "train.seed": str(seed)}
    stage = read_recipe("fashion-maskgit", {f"generator.{k}": v for k, v in changes.items()}).generator
    assert stage is not None
    return stage


def tokens_of(split: str, out: Path) -> TokenSet:
    path = out / f"tokens-{split}.safetensors"
    if not path.is_file():
        tokenizer = load_tokenizer(TEACHER / "tokenizer")
        new = path.with_name(f"{path.stem}.{time.time_ns()}.safetensors")
        data = load("fashion", split)
        tokenise(tokenizer, data.images, data.labels, flip=False).save(new)
        new.rename(path)
    return load_tokens(path)


def teacher_network() -> UViT:
    return load_module(UViT(UViTConfig.from_dict(read_config(TEACHER).architecture)), TEACHER)


def train(
    option: Option, seed: int, tokens: TokenSet, place: Path, budget: Mapping[str, str]
) -> tuple[UViT, float | None]:
    """The averaged network, and CPU seconds per step unless all of them were done before."""
    stage = stage_of(option, seed, budget)
    torch.manual_seed(stage.train.seed)
    teacher = teacher_network().eval().requires_grad_(False) if stage.objective.distil > 0 else None
    nothing = torch.zeros(1, 8, 8, dtype=torch.uint8)
    task = MaskedTokenTask(UViT(stage.network), tokens, stage.objective, lambda network: nothing, teacher)
    trainer = Trainer(task, stage.train, place, Accelerator(cpu=True))
    trainer.resume()
    start, first = time.process_time(), trainer.step
    network = trainer.run()
    assert isinstance(network, UViT)
    done = trainer.step - first
    return network.eval(), (time.process_time() - start) / done if done else None


@torch.no_grad()
def cross_entropy(network: UViT, tokens: TokenSet) -> float:
    """Nats per hidden token of the held-out pictures: cosine ratio, white masks, the same for every option."""
    g, length, total, hidden = generator_of("held out"), network.config.length, 0.0, 0
    for rows in torch.arange(min(HELD_OUT, len(tokens))).split(250):
        counts = mask_counts("cosine", len(rows), length, g)
        masked = lowest(random_order("white", len(rows), network.config.grid, g), counts)
        ids = tokens.ids[0, rows]
        logits = logits_where(network, ids.masked_fill(masked, network.config.mask_id), tokens.labels[rows], masked)
        total, hidden = total + float(entropies(logits, ids[masked], 0.0).sum()), hidden + int(masked.sum())
    return total / hidden


def measure(network: UViT, sampling: Sampling, test: TokenSet, samples: int) -> dict[str, float]:
    classifier = load_classifier()
    real = reference(classifier, load("fashion", "train"), load("fashion", "test"))
    tokenizer = load_tokenizer(TEACHER / "tokenizer")
    labels: Tensor = balanced_labels(network.config.num_classes, samples)
    images = sample_images(MaskGITKind().decoder(network, tokenizer, sampling), labels, sampling, seed=0)
    few = assess(classifier, real.drawn.images[:samples], real.drawn.labels[:samples])
    return {
        "cross_entropy": cross_entropy(network, test),
        **asdict(score_samples(classifier, real, images, labels)),
        "floor": frechet_distance(few.features, real.test.features),
    }


def run(name: str, seed: int, out: Path, budget: Mapping[str, str], samples: int) -> None:
    place = out / f"{name}-{seed}"
    if (place / "result.json").is_file():
        return
    network, seconds = train(OPTIONS[name], seed, tokens_of("train", out), place, budget)
    sampling = replace(Sampling(), **stage_of(OPTIONS[name], seed, budget).decoding)
    found: dict[str, Any] = {"option": name, "seed": seed, "samples": samples, "cpu_seconds_per_step": seconds}
    found |= {"machine": describe("cpu"), "parameters": sum(p.numel() for p in network.parameters())}
    found |= measure(network, sampling, tokens_of("test", out), samples)
    (place / "result.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(name, seed, {k: round(v, 3) for k, v in found.items() if isinstance(v, float)}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.options", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="run directories and results")
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th run, from the i-th on")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", default=BUDGET["train.steps"])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--render", type=Path, help="put the results that are there into this page, and stop")
    options = parser.parse_args()
    if options.render:
        page = options.render.read_text(encoding="utf-8")
        options.render.write_text(rendered(page, results(options.out)), encoding="utf-8")
        return
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    shard, shards = map(int, options.shard.split("/"))
    runs = [(name, seed) for name in options.only for seed in OPTIONS[name].seeds]
    for name, seed in runs[shard::shards]:
        run(name, seed, options.out, {"train.steps": options.steps}, options.samples)


def results(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Option -> what was measured, a result per seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("*/result.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(entry["option"], []).append(entry)
    return found


def table(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Markdown: every option beside what it changes; differences of more than 2 % are bold."""
    base = found["baseline"]
    spread = {key: max(e[key] for e in base) - min(e[key] for e in base) for key in ("cross_entropy", "fid_cls")}
    lines = [
        "| option | after | settings | cross-entropy | FID-cls | recall | agreement, % | CPU time of a step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, option in OPTIONS.items():
        if name not in found:
            continue
        mine, other = found[name], found[option.beside]
        entropy, fid = (_cell(mine, other, key, name != option.beside) for key in spread)
        recall, accuracy = mean(e["recall"] for e in mine), mean(e["accuracy"] for e in mine)
        times = [[t for e in entries if (t := e["cpu_seconds_per_step"])] for entries in (mine, other)]
        times_text = f"{mean(times[0]) / mean(times[1]):.2f}x" if all(times) else ""
        changes = ", ".join(f"`{key}={value}`" for key, value in option.changes.items() if key not in SMALL)
        cells = [option.says, option.source, changes, entropy, fid, f"{recall:.2f}", f"{accuracy:.1f}"]
        lines.append("| " + " | ".join([*cells, times_text]) + " |")
    first = base[0]
    note = (
        f"{first['samples']:,} samples each with the decoding of the recipe, in bf16; floor {first['floor']:.2f} (as "
        f"many training images against the 10,000 test images). {len(base)} seeds of the baseline differ by "
        f"{spread['cross_entropy']:.3f} nats and {spread['fid_cls']:.2f} in FID-cls; bold: more than 2 % from "
        "what it is compared with. CPU time is of one thread, beside other work: within a fifth or so. "
        f"{_machine(first['machine'])}."
    )
    return "\n".join([*lines, "", note])


def _cell(mine: list[dict[str, Any]], other: list[dict[str, Any]], key: str, compared: bool) -> str:
    value, base = mean(e[key] for e in mine), mean(e[key] for e in other)
    text = f"{value:.3f}" if key == "cross_entropy" else f"{value:.1f}"
    if not compared:
        return text
    text += f" ({100 * (value / base - 1):+.1f} %)"
    return f"**{text}**" if abs(value / base - 1) > 0.02 else text


def _machine(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in facts.items() if isinstance(value, str | int))


def rendered(text: str, found: Mapping[str, list[dict[str, Any]]]) -> str:
    """`text` with the table between its marks replaced."""
    before, rest = text.split(MARKS[0])
    return f"{before}{MARKS[0]}\n{table(found)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


if __name__ == "__main__":
    main()
