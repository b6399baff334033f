"""Telling a client's server that a job has ended: signed, retried, and only where it may. Free of torch and FastAPI."""
