"""The model card: README.md as sections of text, built from what a run and its evaluation left behind."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.checkpoint import CheckpointConfig
from training.evaluate.measures import OWN, TEST
from training.evaluate.yardstick import FASHION

SAMPLES, QUALITY = "Samples", "Quality"
NAMED = 40  # words
KINDS = {
    "maskgit": "MaskGIT over image tokens",
    "mar": "MAR over continuous image tokens",
    "magnet": "MAGNeT over ids of a codec",
}
CLOUDS = ("real", "samples", "blurred")
NEIGHBOUR_SCORES = ("precision", "recall", "density", "coverage")


def card(name: str, config: CheckpointConfig, sections: Mapping[str, str]) -> str:
    """The text of a whole README.md: what it is, `sections` by heading, and data and licence."""
    recipe = config.training.get("recipe")
    made = f"trained by `maskserve-train`, recipe `{recipe}`" if recipe else "not trained with a recipe of this project"
    words = [term for term in config.vocabulary if " " not in term]
    classes = f"\nClasses: {', '.join(config.classes)}." if config.classes else ""
    if words:
        classes = f"\nPrompts: captions of {len(words):,} words, such as {', '.join(words[:NAMED])}."
    sources = "".join(f"{source.name}: {source.credit}; licence {source.licence}. " for source in config.data)
    asked = "Caption" if words else "Class"
    text = f"# {name}\n\n{asked}-conditional {KINDS.get(config.family, config.family)}; {made}.{classes}\n"
    return with_sections(text, {**sections, "Data and licence": f"{sources}Weights: {config.licence}."})


def with_sections(text: str, sections: Mapping[str, str]) -> str:
    """A Markdown text with its sections of these headings (`## ...`) replaced, or added at the end.

    Everything else stays as it is.
    """
    parts = re.split(r"(?m)^(?=## )", text)
    for heading, body in sections.items():
        made = f"## {heading}\n\n{body.strip()}\n\n"
        at = [i for i, part in enumerate(parts) if part.splitlines()[:1] == [f"## {heading}"]]
        if at:
            parts[at[0]] = made
        else:
            parts[-1] = parts[-1].rstrip("\n") + "\n\n"
            parts.append(made)
    return "".join(parts).rstrip("\n") + "\n"


def pictures_section(pictures: Mapping[str, str]) -> str:
    """File -> caption, as Markdown."""
    return "\n\n".join(f"![{Path(file).stem}]({file})\n\n{caption}" for file, caption in pictures.items())


def quality_section(scores: Mapping[str, Any], defaults: bool) -> str:
    """The numbers that `evaluate_checkpoint` returned. `defaults`: they are of the stored sampling values."""
    tokens, count, first = scores["tokenizer"], scores["count"], scores["seed"]
    paired = f", rFID-cls in its paired form {tokens['rfid_cls_paired']:.3f}" if "rfid_cls_paired" in tokens else ""
    tables = "\n\n".join(_table(scores, name, about) for name, about in scores["features"].items())
    given = " ".join(f"--features {name if name in (OWN, 'lite0') else 'FILE'}" for name in scores["features"])
    folder = "" if scores["data"] == FASHION else "--data DIR "
    whose = "These are the checkpoint's defaults." if defaults else "These are not the checkpoint's defaults."
    return f"""Each column compares {count:,} images with the {scores["test"]:,} held-out images of {scores["data"]}:
training images drawn at random (real: the floor), reconstructions of them, samples with the seeds {first} to
{first + count - 1}, {scores["asked"]}, and the training images at half resolution (the control, which a measure must
tell from the floor). Numbers compare only within one extractor's features and at one number of images.

{tables}

KID is the kernel distance; precision, recall, density and coverage use five neighbours.
Tokenizer: PSNR {tokens["psnr"]:.1f} dB, SSIM {tokens["ssim"]:.3f}{_code_use(tokens)}{paired}.

Sampling: {_sampling(scores["sampling"])}. {whose}
Repeat with `maskserve-train evaluate CHECKPOINT {folder}{given} --count {count} --seed {first}`."""


def _code_use(tokens: Mapping[str, Any]) -> str:
    """Of a tokenizer with codes."""
    if "codebook_usage" not in tokens:
        return ""
    usage, perplexity = 100 * tokens["codebook_usage"], tokens["codebook_perplexity"]
    return f", {usage:.0f} % of the codes in use, perplexity {perplexity:.0f}"


def _table(scores: Mapping[str, Any], name: str, about: Mapping[str, Any]) -> str:
    own = name == OWN
    rebuilt = scores["tokenizer"]["rfid_cls" if own else f"rfid_{name}"]
    rows = [_row(f"FID-{name}", [scores[cloud][f"fid_{name}"] for cloud in CLOUDS], 3, rebuilt)]
    rows.append(_row(f"KID-{name} x 1000", [scores[cloud][f"kid_{name}"] for cloud in CLOUDS], 2))
    for word in NEIGHBOUR_SCORES:
        rows.append(_row(word, [scores[cloud][word if own else f"{word}_{name}"] for cloud in CLOUDS], 3))
    if own:
        agrees = [scores[cloud]["accuracy"] for cloud in CLOUDS]
        rows.append(_row("classifier agrees (%)", agrees, 1, scores["tokenizer"]["accuracy_reconstructed"]))
    against = about["against"]
    published = "" if against == TEST else f" FID-{name} is to {against} instead of to the held-out images."
    head = "| | real (floor) | reconstructed | samples | half resolution (control) |\n|---|---|---|---|---|"
    return f"Features `{name}`: {about['says']} (D = {about['dimensions']}).{published}\n\n" + "\n".join([head, *rows])


def _row(title: str, values: Sequence[float], digits: int, rebuilt: float | None = None) -> str:
    real, made, blurred = (f"{value:.{digits}f}" for value in values)
    return f"| {title} | {real} | {'' if rebuilt is None else f'{rebuilt:.{digits}f}'} | {made} | {blurred} |"


def _sampling(how: Mapping[str, Any]) -> str:
    words = [f"{key} {value}" for key, value in how.items() if value not in (False, 0, "constant", "joint")]
    return ", ".join(words)
