"""The masked-token objective and its options."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from training.data.tokens import TokenSet
from training.objectives.masked_tokens import (
    Batch,
    MaskedTokenTask,
    divergence,
    drawn,
    entropies,
    likeness,
    logits_where,
)
from training.objectives.task import StepContext
from training.randomness import generator_of
from training.recipe import read_recipe
from training.settings import MaskedTokenSettings, TrainSettings
from training.trainer import Trainer

TINY = replace(UViTConfig.preset("tiny"), dropout=0.0)
ROWS = torch.arange(32)


def task(master: UViT | None = None, **settings: Any) -> MaskedTokenTask:
    torch.manual_seed(0)
    tokens = TokenSet(torch.randint(32, (1, 64, 16)), torch.arange(64) % 4)
    white = torch.zeros(1, 4, 4, dtype=torch.uint8)
    return MaskedTokenTask(UViT(TINY), tokens, MaskedTokenSettings(**settings), lambda network: white, master)


def context(own: MaskedTokenTask, step: int = 0, mine: slice = slice(0, None, 1)) -> StepContext:
    return StepContext(step, 10, 0, len(ROWS), mine, own.fetch(ROWS, mine), generator_of(0, step))


def batch(own: MaskedTokenTask, step: int = 0) -> Batch:
    return own._batch(context(own, step))


def trained(own: MaskedTokenTask, place: Path, steps: int = 60, **more: Any) -> list[float]:
    """The loss of every step."""
    settings = TrainSettings(steps, 32, 3e-3, warmup=2, bf16=False, log_every=1, save_every=1000, **more)
    run = Trainer(own, settings, place, Accelerator(cpu=True))
    found = []
    with run._loader() as loader:
        for run.step in range(steps):
            found.append(float(run._one_step(loader)["loss/masked"]))
    return found


def test_twins_show_an_image_twice_and_share_no_hidden_token() -> None:
    made = batch(task(disjoint=True, ratio="uniform", class_dropout=0.0))
    assert torch.equal(made.ids[::2], made.ids[1::2]) and torch.equal(made.labels[::2], made.labels[1::2])
    few = made.masked.sum(1).unflatten(0, (16, 2)).sum(1) <= 16
    both = (made.masked[::2] & made.masked[1::2]).any(1)
    assert few.any() and not both[few].any()


@pytest.mark.parametrize("kind", ["uniform", "own"])
def test_wrong_tokens_are_visible_ones_and_not_asked_for(kind: str) -> None:
    made = batch(task(corrupt=0.3, corrupt_with=kind))
    assert (made.seen[made.masked] == TINY.mask_id).all()
    visible = ~made.masked
    wrong = (made.seen != made.ids)[visible].float().mean()
    assert 0.2 < wrong < 0.35 and made.seen[visible].max() < TINY.codebook_size


def test_nothing_is_wrong_unless_asked() -> None:
    made = batch(task())
    assert torch.equal(made.seen[~made.masked], made.ids[~made.masked])


def test_own_mistakes_follow_what_the_network_says() -> None:
    own = task(corrupt=0.5)
    with torch.no_grad():
        own.network.mlm_layer.bias[..., 7] = 50.0  # it would always say 7
    made = batch(own)
    changed = made.seen[(made.seen != made.ids) & ~made.masked]
    assert len(changed) and (changed == 7).all()


def test_draws_follow_probabilities() -> None:
    shares = torch.tensor([0.2, 0.0, 0.8]).expand(10_000, 3)
    found = torch.bincount(drawn(shares, torch.rand(10_000, generator=generator_of("draw"))), minlength=3) / 10_000
    assert found[1] == 0 and found[0] == pytest.approx(0.2, abs=0.02)


def test_hard_tokens_are_found_and_hidden_more_often(tmp_path: Path) -> None:
    """Half of the grid always shows one code: the other half is hard."""
    own = task(order="hard", hardest=3.0, ratio="uniform")
    own.tokens.ids[..., :8] = 5
    trained(own, tmp_path, steps=150)
    assert own.hardness is not None
    guess = own.hardness(own.tokens.ids[0]).mean(0)
    assert guess[8:].min() > guess[:8].max()
    first, last = (batch(own, step).masked.float().mean(0) for step in (0, 10))
    assert abs(first[8:].mean() - first[:8].mean()) < 0.1 < last[8:].mean() - last[:8].mean()


def test_the_mask_token_becomes_unlike_the_codes(tmp_path: Path) -> None:
    plain, apart = task(), task(unlike=1.0)
    for at, own in enumerate((plain, apart)):
        trained(own, tmp_path / str(at), steps=30)
    assert likeness(apart.network) < 0.5 * likeness(plain.network)


def test_a_student_comes_to_say_what_its_teacher_says(tmp_path: Path) -> None:
    torch.manual_seed(9)
    teacher = UViT(TINY).eval()
    with torch.no_grad():
        teacher.mlm_layer.bias[..., :4] = 3.0
    own = task(teacher, distil=1.0, teacher="given", class_dropout=0.0)
    made = batch(own)
    asked = made.seen, made.labels, made.masked

    @torch.no_grad()
    def distance() -> float:
        return float(divergence(logits_where(own.network, *asked), logits_where(teacher, *asked)))

    before = distance()
    trained(own, tmp_path, steps=150)
    assert distance() < 0.6 * before


def test_a_teacher_and_its_share_go_together() -> None:
    with pytest.raises(ValueError, match=r"generator\.objective.*go together"):
        read_recipe("tiny-maskgit", {"generator.objective.distil": "0.5"})


def test_one_hidden_token_is_no_reason_for_nan() -> None:
    own = task(order="hard")
    assert own.hardness is not None
    masked = torch.zeros(1, 16, dtype=torch.bool)
    masked[0, 3] = True
    assert own.hardness.loss(own.tokens.ids[0, :1], masked, torch.tensor([2.0])).isfinite()


def test_every_weight_learns_where_tokens_are_wrong() -> None:
    own = task(corrupt=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        [loss] = own.losses(context(own))
    loss.value.backward()
    missing = [name for name, weight in own.network.named_parameters() if weight.grad is None]
    assert not missing


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
def test_a_compiled_task_says_the_same() -> None:
    plain, compiled = task(), task()
    compiled.compile()
    made = batch(plain)
    found = [own.rows(own.network, made.seen, made.labels) for own in (plain, compiled)]
    assert torch.allclose(*found, atol=1e-4)


def test_logits_are_those_of_the_network_at_the_places_asked() -> None:
    torch.manual_seed(0)
    network = UViT(UViTConfig.preset("tiny")).eval()
    ids, labels = torch.randint(33, (3, 16)), torch.tensor([0, 4, 2])
    where = torch.rand(3, 16) < 0.5
    expected = network(ids, labels)[where]
    assert torch.allclose(logits_where(network, ids, labels, where), expected, atol=1e-5)


def test_smoothing_has_the_form_of_the_source() -> None:
    logits = torch.randn(1, 8, generator=generator_of("smooth"))
    target = torch.full((8,), 0.1 / 8)
    target[3] += 0.9
    expected = -(target * logits[0].log_softmax(-1)).sum()
    loss = entropies(logits, torch.tensor([3]), smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
