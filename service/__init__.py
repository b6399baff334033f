"""maskserve: the server, and `load` for use as a library."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.offline import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` brings torch; `import service.http` must not."""
    if name == "load":
        from service.offline import load

        return load
    raise AttributeError(name)
