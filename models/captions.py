"""Captions as bags of terms: words, and pairs of neighbours, so that a red circle differs from a red background."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

LEAST = 2  # captions that a term must occur in
MOST = 4096  # terms of a vocabulary


def words_of(text: str) -> list[str]:
    """Lower-case words, in order."""
    return re.findall(r"\w+", text.lower())


def terms_of(text: str) -> list[str]:
    """Every word and every pair of neighbouring words, each once, in order of appearance."""
    words = words_of(text)
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return list(dict.fromkeys([*words, *pairs]))


def vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """The terms that occur in at least two captions, the most frequent first, 4096 at most.

    A term that occurs in every caption says nothing and is left out, unless nothing else is left.
    """
    found, total = Counter[str](), 0
    for caption in captions:
        found.update(terms_of(caption))
        total += 1
    ranked = sorted(found, key=lambda term: (-found[term], term))
    telling = [term for term in ranked if LEAST <= found[term] < total]
    return tuple((telling or ranked)[:MOST])


def indices(text: str, places: Mapping[str, int], most: int) -> tuple[int, ...]:
    """The terms of `text` that a vocabulary knows, by index, ascending: the `most` most frequent ones of them."""
    return tuple(sorted(places[term] for term in terms_of(text) if term in places)[:most])
