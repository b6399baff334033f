"""Prompts: of class-conditional models (a class name, its index, or a sentence that names exactly one class), and of
models that were trained on captions (the words they know).
"""

import re
from collections.abc import Sequence

from models.captions import indices, words_of
from models.family import PromptError, Understood
from models.spec import DecoderSpec


def understand_class(prompt: str, classes: Sequence[str]) -> Understood:
    """The class that `prompt` names. Raises PromptError, listing the classes, when it names none or several."""
    text = _words(prompt)
    index = prompt.strip()
    if index.isascii() and index.isdigit() and int(index) < len(classes):
        return Understood(int(index), classes[int(index)])
    named = {at for at, name in enumerate(classes) if any(_inside(n, text) for n in _names(name))}
    named = {a for a in named if not any(a != b and _shadowed(classes[a], classes[b]) for b in named)}
    if len(named) == 1:
        at = named.pop()
        return Understood(at, classes[at])
    why = "names none" if not named else f"names {len(named)}"
    listed = ", ".join(classes[:40]) + (f", ... ({len(classes)} in all)" if len(classes) > 40 else "")
    raise PromptError(f"the prompt {why} of this model's classes: {listed}")


def understand_caption(prompt: str, spec: DecoderSpec) -> Understood:
    """The terms of `prompt` that the model knows; the words of them are what is revised.

    Raises PromptError, listing words, when it knows none.
    """
    places = {term: at for at, term in enumerate(spec.vocabulary)}
    found = indices(prompt, places, spec.most_words)
    if not found:
        listed = ", ".join(spec.words[:40]) + (f", ... ({len(spec.words)} in all)" if len(spec.words) > 40 else "")
        raise PromptError(f"the prompt has no word that this model knows: {listed}")
    known = {word for at in found for word in spec.vocabulary[at].split()}
    return Understood(found, " ".join(word for word in words_of(prompt) if word in known))


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _names(name: str) -> list[str]:
    """`t-shirt/top` answers to `t shirt top`, `t shirt` and `top`; plurals are accepted."""
    parts = [_words(name), *map(_words, re.split(r"[/,]", name))]
    return [form for part in parts if part for form in (part, part + "s", part + "es")]


def _inside(name: str, text: str) -> bool:
    return f" {name} " in f" {text} "


def _shadowed(name: str, other: str) -> bool:
    """`shirt` is not meant where `t-shirt` was said: the longer name contains it."""
    return any(_inside(a, b) and a != b for a in [_words(name)] for b in _names(other))
