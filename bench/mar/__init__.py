"""Measurements of the MAR family: continuous tokens with a diffusion head."""
