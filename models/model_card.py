"""What a model hub reads from a model card: the front matter, and the pictures it shows. Imports without torch."""

import json
import re
from pathlib import Path, PurePosixPath

from models.checkpoint import CheckpointConfig
from models.importing import UNKNOWN_LICENCE

FENCE = "---"
LICENCES = {  # those that hubs know by their SPDX id, in lower case
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense",
    "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0",
    "openrail", "bigscience-openrail-m", "creativeml-openrail-m",
}  # fmt: skip
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg"}
SHOWN = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)|<img[^>]*?\ssrc=[\"']([^\"']+)")


def published_card(text: str | None, name: str, config: CheckpointConfig) -> str:
    """The card with front matter: `text` as it is where it has some, a heading alone where there is no card."""
    if text is not None and text.startswith(FENCE + "\n"):
        return text
    return f"{front_matter(config)}\n{text or _heading(name, config)}"


def front_matter(config: CheckpointConfig) -> str:
    """YAML between two fences: licence, library, tags and data sets of a checkpoint."""
    licence = config.licence.lower()
    lines = [FENCE]
    if licence in LICENCES:
        lines.append(f"license: {licence}")
    elif config.licence == UNKNOWN_LICENCE:
        lines.append("license: unknown")
    else:
        lines += ["license: other", f"license_name: {json.dumps(_slug(licence))}"]
    lines += ["library_name: maskserve", "tags:"]
    lines += [f"- {json.dumps(tag)}" for tag in ("maskserve", "masked-generation", _slug(config.family))]
    sources = list(dict.fromkeys(slug for source in config.data if (slug := _slug(source.name.split(",")[0]))))
    if sources:
        lines += ["datasets:", *(f"- {json.dumps(source)}" for source in sources)]
    return "\n".join([*lines, FENCE, ""])


def pictures(directory: Path, text: str) -> list[str]:
    """The picture files inside `directory` that a card shows: relative paths, in order, each once."""
    named = (a or b for a, b in SHOWN.findall(text))
    return [
        path
        for path in dict.fromkeys(named)
        if PurePosixPath(path).suffix.lower() in PICTURES and _inside(path) and (directory / path).is_file()
    ]


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return "://" not in path and not path.startswith("/") and ".." not in parts


def _heading(name: str, config: CheckpointConfig) -> str:
    return f"# {name}\n\nA {config.family} checkpoint of maskserve. Licence: {config.licence}.\n"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.")
