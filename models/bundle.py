"""A checkpoint with all that it needs, as the files of one repository. Imports without torch."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from models.checkpoint import CONFIG, CheckpointError, read_config, tokenizer_directory, weight_files
from models.model_card import pictures, published_card
from models.staging import fresh_directory

CARD = "README.md"
TOKENIZER = "tokenizer"

Files = Mapping[str, Path | bytes]  # path in the repository -> a file here, or what is written instead of one


def collect(directory: Path, name: str) -> Files:
    """The files of checkpoint `directory`, its tokenizer's below `tokenizer/` wherever it lies here.

    The card gets front matter where it has none, config.json another tokenizer path where it needs one; the files of
    `directory` stay as they are. CheckpointError for what is missing.
    """
    config = read_config(directory)
    files = _own_files(directory)
    card = files.get(CARD)
    text = card.read_text(encoding="utf-8") if isinstance(card, Path) else None
    files[CARD] = published_card(text, name, config).encode()
    if config.tokenizer is None:
        return files
    if Path(config.tokenizer) != Path(TOKENIZER):
        values = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        files[CONFIG] = (json.dumps({**values, "tokenizer": TOKENIZER}, indent=2, ensure_ascii=False) + "\n").encode()
    tokenizer = _own_files(tokenizer_directory(directory, config))
    return {**files, **{f"{TOKENIZER}/{path}": source for path, source in tokenizer.items()}}


def size(source: Path | bytes) -> int:
    """Bytes of one file of a bundle."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def write(files: Files, out: Path) -> None:
    """Copy a bundle into the new directory `out`. CheckpointError where it holds something, and for disk errors."""
    with fresh_directory(out) as place:
        for path, source in files.items():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                shutil.copyfile(source, target)


def _own_files(directory: Path) -> dict[str, Path | bytes]:
    """config.json, weights, the card and the pictures that it shows."""
    found: dict[str, Path | bytes] = {path.name: path for path in [directory / CONFIG, *weight_files(directory)]}
    card = directory / CARD
    if not card.is_file():
        return found
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{card}: {error}") from None
    return {**found, CARD: card, **{path: directory / path for path in pictures(directory, text)}}
