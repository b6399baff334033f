"""The container files as data."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKER = ROOT / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """(keyword, arguments) of a Dockerfile, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, cut at each FROM."""
    found: list[list[Instruction]] = []
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def arguments(stage: list[Instruction], keyword: str) -> list[str]:
    return [rest for word, rest in stage if word == keyword]


def interpolated(text: str, given: dict[str, str]) -> str:
    """As docker compose does it with the forms used here: ${A:-default} and ${A-default}."""
    return VARIABLE.sub(lambda found: given.get(found[1], found[2] or ""), text)


def _filled(value: Any, given: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, given) for item in value]
    return interpolated(value, given) if isinstance(value, str) else value


def compose(name: str = "compose.yaml", **given: str) -> dict[str, Any]:
    """A compose file after interpolation, with the variables of `given` set."""
    content: dict[str, Any] = _filled(yaml.safe_load((DOCKER / name).read_text()), given)
    return content


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps `path` out: the last pattern that matches it or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    out = False
    for pattern in patterns:
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        expression = expression.replace(r"\[", "[").replace(r"\]", "]")
        if any(re.fullmatch(expression, part) for part in above):
            out = not pattern.startswith("!")
    return out


def dockerignore() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
