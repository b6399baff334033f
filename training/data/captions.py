"""Captions of a folder: a list of them, or a text file beside each picture."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

LISTS = ("captions.jsonl", "metadata.jsonl")
FILE_KEYS, TEXT_KEYS = ("file", "file_name", "image", "audio"), ("caption", "text")


class BadCaptions(ValueError):
    """A list that cannot be used; the message names file and line."""


def captioned_by_list(folder: Path) -> dict[Path, str] | None:
    """picture -> caption from `captions.jsonl`; None without such a file.

    A line is `{"file": "a/b.png", "caption": "a red circle"}`, the file relative to the folder; the words `file_name`
    and `text` of other tools are understood. Several captions of one picture become one. Raises BadCaptions.
    """
    path = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if path is None:
        return None
    found: dict[Path, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not other line ends, which captions may hold
    except UnicodeDecodeError:
        raise BadCaptions(f"{path}: not UTF-8 text") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, caption = _entry(line, f"{path}, line {number}")
            inside = os.path.normpath(name)
            if os.path.isabs(inside) or inside.split(os.sep)[0] == "..":
                raise BadCaptions(f"{path}, line {number}: {name} is outside the folder")
            picture = folder / inside
            if not picture.is_file():
                raise BadCaptions(f"{path}, line {number}: there is no file {name}")
            found[picture] = f"{found[picture]}\n{caption}" if picture in found else caption
    return found


def _entry(line: str, where: str) -> tuple[str, str]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise BadCaptions(f"{where}: not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise BadCaptions(f"{where}: not a JSON object")
    values: list[str] = []
    for keys in (FILE_KEYS, TEXT_KEYS):
        value = next((entry[key] for key in keys if key in entry), None)
        if isinstance(value, str) and value.strip():
            values.append(value)
        else:
            raise BadCaptions(f'{where}: it needs a {keys[0]}, like {{"file": "a.png", "caption": "a red circle"}}')
    return values[0], values[1]


def captioned_by_files(pictures: Sequence[Path]) -> dict[Path, str] | None:
    """picture -> the text of the `.txt` file of its name; None when no picture has one.

    Raises BadCaptions when less than half of them have one: that is hardly meant.
    """
    found: dict[Path, str] = {}
    for picture in pictures:
        path = picture.with_suffix(".txt")
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            if text:
                found[picture] = text
    if found and 2 * len(found) < len(pictures):
        first = next(iter(found)).with_suffix(".txt")
        raise BadCaptions(
            f"{len(found)} of {len(pictures)} files have a text file beside them ({first}, ...): is that a caption? "
            "Then give the others one; if not, take it away"
        )
    return found or None
