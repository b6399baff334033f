"""Prompts of class-conditional models: a class name, its index, or a sentence that names exactly one class."""

import re
from collections.abc import Sequence

from models.family import PromptError, Understood


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
