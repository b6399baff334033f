"""Striped pictures, as a family that maskserve finds by its entry point."""

from toy_stripes.family import family

__all__ = ["family"]
