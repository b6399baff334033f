"""Training and evaluation of the generators in `models`. Never imported by the service."""
