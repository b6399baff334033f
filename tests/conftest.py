"""Settings shared by every test: two torch threads, a Hypothesis profile without deadlines."""

import torch
from hypothesis import settings

torch.set_num_threads(2)

settings.register_profile("ci", deadline=None)
settings.load_profile("ci")
