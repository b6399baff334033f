"""The delay pattern, against its words."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.magnet.delayed import delayed, shown, told

sizes = st.tuples(st.integers(1, 5), st.integers(1, 9))


def test_the_published_picture() -> None:
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert delayed(ids, 0).tolist() == [[0, 1, 2, 3], [0, 0, 4, 5]], "the last token of the last codebook is only told"
    assert [told(row, 2, 3) for row in range(4)] == [[(0, 0)], [(0, 1), (1, 0)], [(0, 2), (1, 1)], [(1, 2)]]


@given(sizes)
def test_columns_are_those_of_the_whole(size: tuple[int, int]) -> None:
    ids = torch.arange(size[0] * size[1]).view(size)
    rows = delayed(ids, -1)
    for row in range(rows.shape[1]):
        assert torch.equal(shown(ids, row, -1), rows[:, row])


@given(sizes)
def test_every_token_is_told_once_and_shown_later(size: tuple[int, int]) -> None:
    places = [place for row in range(size[1] + size[0] - 1) for place in told(row, *size)]
    assert sorted(places) == [(k, t) for k in range(size[0]) for t in range(size[1])]
    ids = torch.arange(size[0] * size[1]).view(size)
    for row in range(size[1] + size[0] - 1):
        known = set(delayed(ids, -1)[:, : row + 1].flatten().tolist())
        assert not known & {int(ids[place]) for place in told(row, *size)}


@given(sizes)
def test_batches(size: tuple[int, int]) -> None:
    ids = torch.arange(2 * size[0] * size[1]).view(2, *size)
    assert torch.equal(delayed(ids, -1), torch.stack([delayed(one, -1) for one in ids]))
