"""The family that lives in a package of its own does what a family must, here without a server or an installation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import problems, read_config
from models.decoder import GenerationRequest
from models.family import Family, PromptError
from models.spec import Sampling
from service.engine.events import Done, Preview, SampleDone
from service.engine.policy import Policy
from service.engine.request import Ticket
from service.engine.scheduler import StepScheduler
from tests.fakes import Outcome, simulate

PACKAGE = Path(__file__).parent / "toy_family"


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(PACKAGE))
    from toy_stripes.checkpoint import write

    return write(tmp_path / "stripes")


@pytest.fixture
def family(checkpoint: Path) -> Family:
    from toy_stripes import family

    return family


def play(family: Family, checkpoint: Path, *requests: GenerationRequest) -> Outcome:
    spec = family.spec("stripes", checkpoint, read_config(checkpoint))
    scheduler = StepScheduler(Policy())
    scheduler.add_model("stripes", family.load(spec, checkpoint, "cpu", "float32"), 0.0)
    return simulate(scheduler, [(0.0, Ticket(str(i), "stripes", request)) for i, request in enumerate(requests)])


def pictures(outcome: Outcome, id: str) -> list[np.ndarray]:
    done = [event for event in outcome.of(id) if isinstance(event, SampleDone)]
    return [event.artifact.array for event in sorted(done, key=lambda event: event.report.sample)]


def test_its_checkpoint_is_sound_and_understood(family: Family, checkpoint: Path) -> None:
    assert problems(checkpoint) == []
    spec = family.spec("stripes", checkpoint, read_config(checkpoint))
    assert spec.size == (32, 32) and spec.classes == ("horizontal", "vertical", "diagonal")
    assert family.understand(spec, "vertical stripes").condition == 1
    with pytest.raises(PromptError, match="horizontal"):
        family.understand(spec, "dots")


def test_it_draws_stripes(family: Family, checkpoint: Path) -> None:
    requests = [GenerationRequest("generate", c, Sampling(num_inference_steps=6, reuse=1), 5) for c in (0, 1)]
    outcome = play(family, checkpoint, *requests)
    [horizontal], [vertical] = pictures(outcome, "0"), pictures(outcome, "1")
    assert (horizontal == horizontal[:, :1]).all() and (vertical == vertical[:1]).all()
    assert len(np.unique(vertical.reshape(-1, 3), axis=0)) > 2


def test_samples_depend_on_seed_and_number_alone(family: Family, checkpoint: Path) -> None:
    def request(n: int, steps: int) -> GenerationRequest:
        return GenerationRequest("generate", 2, Sampling(num_inference_steps=steps), 9, n=n)

    outcome = play(family, checkpoint, request(1, 4), request(4, 4), request(1, 4))
    assert (pictures(outcome, "0")[0] == pictures(outcome, "1")[0]).all()
    assert (pictures(outcome, "1")[0] != pictures(outcome, "1")[1]).any()


def test_an_edit_makes_only_what_the_mask_touches(family: Family, checkpoint: Path) -> None:
    [base] = pictures(play(family, checkpoint, GenerationRequest("generate", 0, Sampling(), 1)), "0")
    mask = np.zeros((32, 32), dtype=bool)
    mask[3:9, 5:6] = True  # rows 0-2, column 1 of the grid
    edit = GenerationRequest("edit", 1, Sampling(), 2, image=base, mask=mask, partials=2)
    outcome = play(family, checkpoint, edit)
    [made] = pictures(outcome, "0")
    changed = (made != base).any(axis=-1)
    assert changed.any() and not changed[12:].any() and not changed[:, 8:].any() and not changed[:, :4].any()
    assert isinstance(outcome.last("0"), Done)
    assert any(isinstance(event, Preview) for event in outcome.of("0"))


def test_it_needs_no_torch(checkpoint: Path) -> None:
    code = "import toy_stripes, sys; sys.exit('torch' in sys.modules)"
    path = f"{PACKAGE}:{Path(__file__).parents[1]}"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0
