"""Where an event stands among those of its request: `<run>-<number>`, larger in both from one event to a later one.

A request that failed and runs again is another run.
"""

import re

POSITION = re.compile(r"(\d{1,20})-(\d{1,20})")
