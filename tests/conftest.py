"""For every test: two torch threads that wait without spinning, a Hypothesis profile without deadlines."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; tests share their cores with servers

import torch
from hypothesis import settings

torch.set_num_threads(2)

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
