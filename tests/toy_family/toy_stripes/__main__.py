"""python -m toy_stripes DIR: write a checkpoint."""

import sys
from pathlib import Path

from toy_stripes.checkpoint import write

print(write(Path(sys.argv[1])))
