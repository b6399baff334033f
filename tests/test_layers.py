"""The layers of docs/architecture.md: who may import whom, and what must load without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "models": {"service", "training"},
    "service": {"training"},
    "training": {"service"},
}
TORCH_FREE = [
    "service.http",
    "service.settings",
    "service.engine.scheduler",
    "service.artefacts",
    "service.webhooks",
    "service.dispatch.queue.client",
]


def imported_packages(source: str) -> set[str]:
    """Top-level names of all absolute imports, including those inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_imported_packages_sees_every_form() -> None:
    source = "import a.b as c\ndef f():\n    from d.e import g\nfrom .h import i\nfrom . import j"
    assert imported_packages(source) == {"a", "d"}


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_does_not_import_upward(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    offenders = {
        str(path.relative_to(ROOT)): wrong
        for path in files
        if (wrong := imported_packages(path.read_text()) & FORBIDDEN[layer])
    }
    assert offenders == {}


@pytest.mark.parametrize("module", TORCH_FREE)
def test_module_loads_without_torch(module: str) -> None:
    """Submodules count too, so a route file that reaches for torch is found."""
    script = (
        "import importlib, pkgutil, sys\n"
        f"root = importlib.import_module({module!r})\n"
        "paths = getattr(root, '__path__', [])\n"
        "for found in pkgutil.walk_packages(paths, root.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
