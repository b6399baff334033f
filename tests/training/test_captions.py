"""Pictures with captions: from the folder to a model that follows words."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from models.captions import indices, terms_of, vocabulary
from models.catalogue import Catalogue
from models.checkpoint import read_config
from models.family import PromptError
from service import load
from training.cli import app
from training.data.captions import BadCaptions
from training.data.folder import Shape, prepare
from training.data.listing import NoPictures, list_folder
from training.evaluate.classifier import agreement
from training.randomness import generator_of

COLOURS = {"red": (230, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 230)}
PLACES = {"top": (slice(0, 8), slice(None)), "bottom": (slice(8, 16), slice(None))}


def places(said: list[str]) -> dict[str, int]:
    return {term: at for at, term in enumerate(vocabulary(said))}


def draw(colour: str, place: str, at: int) -> Image.Image:
    pixels = np.full((16, 16, 3), 250 - at % 5, np.uint8)
    pixels[PLACES[place]] = COLOURS[colour]
    return Image.fromarray(pixels)


def every(count: int) -> list[tuple[str, str, int]]:
    kinds = [(colour, place) for colour in COLOURS for place in PLACES]
    return [(*kinds[at % len(kinds)], at) for at in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("captioned") / "flags"
    (root / "more").mkdir(parents=True)
    lines = []
    for colour, place, at in every(60):
        name = f"more/{at:02}.png" if at % 2 else f"{at:02}.png"
        draw(colour, place, at).save(root / name)
        lines.append({"file": name, "caption": f"A flag that is {colour} at the {place}."})
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    draw("red", "top", 0).save(root / "stray.png")
    return root


def test_terms_are_words_and_pairs() -> None:
    assert terms_of("A red Circle, red!") == ["a", "red", "circle", "a red", "red circle", "circle red"]
    said = ["a red dog", "a blue dog", "a red cat"]
    assert vocabulary(said) == ("a red", "dog", "red")  # "a" is in all, the others in one only
    assert indices("the red dog and a red fish", places(said), 10) == (0, 1, 2)
    assert indices("the red dog and a red fish", places(said), 2) == (0, 1)
    assert vocabulary(["alike", "alike"]) == ("alike",)


def test_a_list_and_text_files_say_the_same(folder: Path, tmp_path: Path) -> None:
    by_list = list_folder(folder)
    assert len(by_list) == 60 and by_list.skipped == {folder / "stray.png": "has no caption"} and not by_list.classes
    (tmp_path / "more").mkdir()
    for source in by_list.sources:
        place = tmp_path / source.path.relative_to(folder)
        place.write_bytes(source.path.read_bytes())
        place.with_suffix(".txt").write_text(source.caption + "\n")
    by_files = list_folder(tmp_path)
    assert [source.caption for source in by_files.sources] == [source.caption for source in by_list.sources]
    assert by_files.conditions == by_list.conditions and by_files.words == by_list.words
    assert {"red", "top", "red at", "at the"}.isdisjoint({"flag"}) and "flag" not in by_list.conditions


def test_captions_become_terms_of_the_split(folder: Path, tmp_path: Path) -> None:
    listing = list_folder(folder)
    data = prepare(listing, Shape(16, 3), tmp_path)
    assert data.train.captioned and data.train.labels.shape == (len(data.train), listing.words)
    for pixels, label in zip(data.train.images, data.train.labels, strict=True):
        said = {listing.conditions[at] for at in label.tolist() if at >= 0}
        [colour] = said & COLOURS.keys()
        [place] = said & PLACES.keys()
        assert tuple(pixels[:, 2 if place == "top" else 13, 5].tolist()) == COLOURS[colour]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ('["a.png", "red"]', "line 2: not a JSON object"),
        ('{"file": "nowhere.png", "caption": "red"}', "line 2: there is no file nowhere.png"),
        ('{"file": "a.png", "caption": " "}', "line 2: it needs a caption"),
        ('{"caption": "red"}', "line 2: it needs a file"),
        ('{"file": "../a.png", "caption": "red"}', "line 2: ../a.png is outside the folder"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    draw("red", "top", 0).save(tmp_path / "a.png")
    (tmp_path / "captions.jsonl").write_text(f'{{"file_name": "a.png", "text": "red top"}}\n{line}\n')
    with pytest.raises(BadCaptions, match=r"captions\.jsonl") as caught:
        list_folder(tmp_path)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_picture_may_have_several_captions_and_be_a_link(tmp_path: Path) -> None:
    draw("red", "top", 0).save(tmp_path / "elsewhere.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    lines = ['\ufeff{"file": "a.png", "caption": "red\u2028top"}', '{"file": "./a.png", "caption": "a flag"}']
    (tmp_path / "data" / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    [source] = list_folder(tmp_path / "data").sources
    assert source.caption == "red\u2028top\na flag"


def test_a_stray_text_file_is_no_caption(tmp_path: Path) -> None:
    for at in range(5):
        draw("red", "top", at).save(tmp_path / f"{at}.png")
    (tmp_path / "3.txt").write_text("0 0.5 0.5")
    with pytest.raises(BadCaptions, match=r"1 of 5 files .*is that a caption\?"):
        list_folder(tmp_path)


def test_captions_without_a_word_are_refused(tmp_path: Path) -> None:
    draw("red", "top", 0).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("...!")
    with pytest.raises(NoPictures, match="not one word"):
        list_folder(tmp_path)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "flags"
    changes = {
        "tokenizer.train.steps": 150, "tokenizer.train.batch": 16, "tokenizer.train.ema": 0.9,
        "tokenizer.refine.train.steps": 1, "tokenizer.perceptual.epochs": 1, "tokenizer.network.ch": 16,
        "tokenizer.network.codebook_size": 32, "generator.network.codebook_size": 32, "generator.network.dim": 48,
        "generator.network.heads": 4, "generator.network.depth": 2, "generator.train.steps": 600,
        "generator.train.batch": 32, "generator.train.warmup": 10, "generator.train.ema": 0.95,
        "generator.train.lr": 3e-3, "generator.decoding.choice_temperature": 2.0,
    }  # fmt: skip
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    done = CliRunner().invoke(app, ["image", "--data", str(folder), "--out", str(out), "--size", "16", *sets])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return out, done.output


def test_it_says_which_words_there_are(trained: tuple[Path, str]) -> None:
    _, said = trained
    assert "of 60 captions" in said and "left out: stray.png: has no caption" in said and "red" in said


def test_prompts_are_followed(trained: tuple[Path, str]) -> None:
    [entry] = Catalogue.scan([trained[0]]).entries.values()
    assert not entry.spec.classes and {"red", "green", "blue", "top", "bottom"} <= set(entry.spec.words)
    right = 0
    with load(entry.path) as model:
        for colour, place, at in every(12):
            [picture] = model.generate(f"Please: {colour} at the {place}, shiny", n=1, seed=at, progress=False)
            pixels = np.asarray(picture).astype(int)
            strip = pixels[PLACES[place]].mean((0, 1))
            right += min(COLOURS, key=lambda name: abs(strip - COLOURS[name]).sum()) == colour
            assert np.array_equal(np.asarray(model.generate(f"{colour} at the {place}", n=1, seed=at)[0]), pixels)
    assert right >= 10


def test_what_was_understood_is_said_and_unknown_prompts_are_refused(trained: tuple[Path, str]) -> None:
    [entry] = Catalogue.scan([trained[0]]).entries.values()
    assert entry.family.understand(entry.spec, "Shiny RED thing at top").revised == "red top"
    with pytest.raises(PromptError, match=r"no word that this model knows: .*red"):
        entry.family.understand(entry.spec, "xyzzy")


def test_a_vocabulary_is_continued(folder: Path, trained: tuple[Path, str], tmp_path: Path) -> None:
    for colour, place, at in every(24):
        draw(colour, place, at).save(tmp_path / f"{at}.png")
        (tmp_path / f"{at}.txt").write_text(f"{colour} banner {'wide' if at % 3 else 'narrow'}")
    start = trained[0] / "checkpoint"
    sets = ["--set", "generator.train.steps=1", "--set", "generator.train.batch=8"]
    network = read_config(start).architecture
    for key in ("dim", "heads", "depth", "codebook_size"):
        sets += ["--set", f"generator.network.{key}={network[key]}"]
    command = ["image", "--data", str(tmp_path), "--out", str(tmp_path.parent / "on"), "--init-from", str(start), *sets]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    said = done.output.replace("\n", " ")
    assert "3 classes known" in said and "new: " in said and "narrow" in said


def test_captions_are_measured(trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of words that a classifier sees in samples, beside real and blurred pictures."""
    monkeypatch.setattr("training.evaluate.yardstick.STEPS", 100)
    (tmp_path / "many").mkdir()
    for colour, place, at in every(600):
        draw(colour, place, at).save(tmp_path / "many" / f"{at}.png")
        (tmp_path / "many" / f"{at}.txt").write_text(f"A flag that is {colour} at the {place}.")
    place = shutil.copytree(trained[0] / "checkpoint", tmp_path / "run" / "checkpoint")
    out = tmp_path / "scores.json"
    command = ["evaluate", str(place), "--data", str(tmp_path / "many"), "--count", "50", "--write", "--out", str(out)]
    CliRunner().invoke(app, command, catch_exceptions=False)
    scores = json.loads(out.read_text())
    assert scores["real"]["accuracy"] > 80 and scores["samples"]["accuracy"] > 60
    card = (place / "README.md").read_text()
    assert "a column for each of: " in card and "Caption-conditional" in card and "the captions of held-out" in card


def test_agreement_counts_the_terms_that_are_seen() -> None:
    labels = torch.tensor([[0, 2, -1], [1, -1, -1]])
    logits = torch.tensor([[9.0, 8.0, 1.0, 0.0], [0.0, 3.0, 1.0, 2.0]])
    assert agreement(logits, labels) == pytest.approx(75.0)
    assert agreement(logits, torch.tensor([0, 2])) == pytest.approx(50.0)


def test_labels_do_not_depend_on_their_neighbours(trained: tuple[Path, str]) -> None:
    """The same bytes alone and beside other captions."""
    [entry] = Catalogue.scan([trained[0]]).entries.values()
    with load(entry.path) as model:
        prompts = ["red", "red at the top", "blue", "green at bottom"]
        together = model.make([model.request(p, seed=at) for at, p in enumerate(prompts)], progress=False)
        alone = [model.make([model.request(p, seed=at)], progress=False)[0] for at, p in enumerate(prompts)]
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.artifact.array, b.artifact.array)


def test_words_are_left_unsaid_now_and_then_in_training() -> None:
    from models.maskgit.config import UViTConfig
    from models.maskgit.network import UViT
    from training.data.tokens import TokenSet
    from training.objectives.masked_tokens import MaskedTokenTask
    from training.objectives.task import StepContext
    from training.settings import MaskedTokenSettings

    config = UViTConfig(codebook_size=32, grid=(4, 4), num_classes=9, words=3, dim=32, depth=2, heads=4)
    tokens = TokenSet(torch.randint(32, (1, 400, 16)), torch.tensor([[1, 4, 7]] * 400))
    settings = MaskedTokenSettings(class_dropout=0.2, word_dropout=0.25)
    own = MaskedTokenTask(UViT(config), tokens, settings, lambda network: torch.empty(0))
    rows, mine = torch.arange(400), slice(0, None, 1)
    labels = own._batch(StepContext(0, 1, 0, 400, mine, own.fetch(rows, mine), generator_of(1))).labels
    nothing = labels[:, 0] == config.null_class
    assert 0.15 < nothing.float().mean() < 0.3 and (labels[nothing][:, 1:] == -1).all()
    assert 0.15 < (labels[~nothing] == -1).float().mean() < 0.3
