"""Measurements behind docs/bench.md: `python -m bench --help`, or `make bench DEVICE=cpu|cuda`."""
