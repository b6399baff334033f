"""Measurements of the MAGNeT family: codebooks of sound, and its autoregressive twin."""
