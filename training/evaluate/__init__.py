"""Quality metrics. Every Fréchet distance here carries the name of its feature extractor: `FID-cls`, not FID."""
