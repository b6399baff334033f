"""`maskserve generate` and `maskserve import`: what they write, and the one line they say when they do not."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.checkpoint import problems
from service import load
from service.media.tags import read_tags
from tests.cli import refused, run
from tests.live import one_thread_count, serving
from tests.tiny import tiny_checkpoint

PARITY = Path(__file__).parents[1] / "parity" / "maskgit"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with one_thread_count(1):
        yield tiny_checkpoint(tmp_path_factory.mktemp("models"))


def test_one_picture_is_that_of_the_library(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "bag.png"
    result = run("generate", tiny, "a bag", "--seed", 7, "--steps", 5, "--reuse", 1, "--out", out)
    assert result.exit_code == 0, result.output
    with load(tiny) as model:
        [wanted] = model.generate("bag", seed=7, progress=False, num_inference_steps=5, reuse=1)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(wanted))
    tags = read_tags(out.read_bytes())
    assert (tags["prompt"], tags["seed"], tags["sample"]) == ("bag", 7, 0)


def test_like_repeats_a_picture_of_the_server_to_the_byte(tiny: Path, tmp_path: Path) -> None:
    async def fetch() -> list[bytes]:
        with serving([tiny]) as live:
            async with live.http() as client:
                body = {"prompt": "sneaker", "n": 3, "num_inference_steps": 6, "reuse": 1, "guidance_scale": 2}
                answer = await client.post("/v1/images/generations", json=body)
                return [b64decode(one["b64_json"]) for one in answer.json()["data"]]

    for at, file in enumerate(asyncio.run(fetch())):
        source, again = tmp_path / f"{at}.png", tmp_path / f"again-{at}.png"
        source.write_bytes(file)
        result = run("generate", "--like", source, "--models", tiny.parent, "--threads", 1, "--out", again)
        assert result.exit_code == 0, result.output
        assert "may differ" not in result.stderr
        assert again.read_bytes() == file


def test_balanced_counts_every_class_alike(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    result = run("generate", "tiny", "--models", tiny.parent, "--count", 8, "--balanced", "--seed", 1, "--out", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as made:
        assert made["labels"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert made["images"].shape == (8, 16, 16, 3) and made["images"].dtype == np.uint8
        assert len({image.tobytes() for image in made["images"]}) == 8


def test_lines_of_json_go_to_a_directory(tiny: Path, tmp_path: Path) -> None:
    lines = tmp_path / "requests.jsonl"
    fields = [{"prompt": "bag", "n": 2, "seed": 3, "num_inference_steps": 4}, {"prompt": "1", "plan": "4,4+8"}]
    lines.write_text("\n\n".join(map(json.dumps, fields)))
    out = tmp_path / "made"
    assert run("generate", tiny, "--from", lines, "--out", out).exit_code == 0
    tags = [read_tags(path.read_bytes()) for path in sorted(out.iterdir())]
    assert [(one["prompt"], one["sample"]) for one in tags] == [("bag", 0), ("bag", 1), ("sneaker", 0)]
    assert tags[2]["plan"] == "4,4+8"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["generate"], "which model"),
        (["generate", "absent", "bag"], "there is no model 'absent'; there are: tiny"),
        (["generate", "tiny"], "what is to be made?"),
        (["generate", "tiny", "zebra"], "this model's classes: shirt, sneaker, ankle boot, bag"),
        (["generate", "tiny", "bag", "--steps", "17"], "num_inference_steps: tiny takes between 1 and 16 steps."),
        (["generate", "tiny", "bag", "--schedule", "steep"], "schedule: schedule is cosine"),
        (["generate", "tiny", "bag", "--plan", "1,2"], "plan: it reveals 3 of 16 tokens"),
        (["generate", "tiny", "bag", "--n", "2"], "there are 2 samples"),
        (["generate", "tiny", "bag", "--out", "x.gif"], "a file in .png, a directory or a .npz file"),
        (["generate", "tiny", "--count", "6", "--balanced"], "a multiple of the 4 classes"),
        (["generate", "tiny", "bag", "--count", "4", "--balanced"], "without a prompt"),
        (["generate", "tiny", "bag", "--from", "x.jsonl"], "--from says what to make"),
        (["generate", "tiny", "--from", "absent.jsonl"], "No such file"),
        (["generate", "--like", "absent.png"], "No such file"),
        (["generate", "tiny", "bag", "--device", "abacus"], "device is auto, cpu"),
        (["generate", "tiny", "bag", "--dtype", "int3"], "dtype: Input should be"),
        (["import", "cuneiform", "a", "b"], "there are: autonat, diffusers-kl, diffusers-vq, encodec, kl, magnet, mar"),
        (["import", "autonat", "absent.pth", "b"], "no such file: absent.pth"),
    ],
)
def test_a_mistake_is_one_line(tiny: Path, words: list[str], says: str) -> None:
    more = ["--models", str(tiny.parent)] if words[0] == "generate" else []
    assert says in refused(*words, *more)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        ('{"prompt": "bag", "sede": 1}', "line 2: sede: Extra inputs are not permitted"),
        ('{"prompt": "bag", "stream": true}', "line 2: stream has a meaning only for the server"),
        ('{"prompt": "yak"}', "line 2: the prompt names none"),
    ],
)
def test_a_wrong_line_is_named(tiny: Path, tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"prompt": "bag"}\n' + line)
    assert says in refused("generate", tiny, "--from", path, "--out", tmp_path / "made")


def test_pictures_that_cannot_be_repeated_say_why(tiny: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (16, 16)).save(plain)
    assert "carries no maskserve tags" in refused("generate", "--like", plain, "--models", tiny.parent)
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    picture = tmp_path / "picture.png"
    assert run("generate", other, "bag", "--out", picture).exit_code == 0
    assert "was made by checkpoint" in refused("generate", tiny, "--like", picture)


def test_import_writes_a_checkpoint_and_says_the_licence(tmp_path: Path) -> None:
    for name in ("vqgan", "uvit"):
        torch.save(load_file(PARITY / f"{name}_state_dict.safetensors"), tmp_path / f"{name}.pth")
    words = ["import", "vqgan-jax", tmp_path / "vqgan.pth", tmp_path / "vq", "--resolution", 12]
    result = run(*words, "--licence", "Apache-2.0")
    assert result.exit_code == 0 and "licence: Apache-2.0" in result.output
    words = ["import", "autonat", tmp_path / "uvit.pth", tmp_path / "nat"]
    assert "tokenizer" in refused(*words, "--heads", 4)
    result = run(*words, "--heads", 4, "--tokenizer", tmp_path / "vq")
    assert result.exit_code == 0 and "licence: unknown" in result.output
    assert problems(tmp_path / "nat") == []
    line = refused("import", "vqgan-jax", tmp_path / "vqgan.pth", tmp_path / "x", "--heads", 4)
    assert "unexpected keyword argument 'heads'" in line


@pytest.mark.parametrize("command", ["generate", "import"])
def test_help_shows_examples(command: str) -> None:
    assert run(command, "--help").output.count(f"maskserve {command} ") >= 2
