"""Precision, recall, density, coverage and nearest neighbours on clouds whose answer is known."""

import torch

from training.evaluate.neighbours import manifold_scores, nearest, radii


def blob(seed: int, count: int = 300) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_radius_is_the_distance_to_the_kth_other_point() -> None:
    line = torch.arange(6.0)[:, None]
    assert radii(line, 2).tolist() == [2, 1, 1, 1, 1, 2]


def test_equal_distributions_score_high() -> None:
    scores = manifold_scores(blob(1), blob(2))
    assert scores.precision > 0.85 and scores.recall > 0.85
    assert scores.coverage > 0.85 and 0.8 < scores.density < 1.2


def test_far_samples_score_nothing() -> None:
    scores = manifold_scores(blob(1), blob(2) + 100)
    assert (scores.precision, scores.recall, scores.density, scores.coverage) == (0, 0, 0, 0)


def test_a_collapsed_generator_loses_recall_not_precision() -> None:
    collapsed = blob(1)[:1] + 0.01 * blob(2)
    scores = manifold_scores(blob(1), collapsed)
    assert scores.precision > 0.95 and scores.recall < 0.05


def test_nearest_finds_the_copy() -> None:
    pool = (255 * torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))).byte()
    assert nearest(pool[[7, 3]], pool).tolist() == [7, 3]
