#!/bin/sh
# Says so before pip fetches more than 500 MB, which happens when torch resolves to a CUDA build.
# A failed look-up stays quiet: the installation that follows meets the same error and reports it.
set -eu
torch=$(grep '^torch==' requirements.lock)
report=.venv/torch-report.json

echo "looking up $torch"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
    --report "$report" "$torch" >/dev/null 2>&1 || exit 0
grep -Eq '"name": "(nvidia|cuda)-' "$report" || exit 0

cat >&2 <<'TEXT'
warning: this downloads about 3 GB (torch with CUDA libraries) and needs about 8 GB of disk.
         Without an NVIDIA card, stop now and set PIP_EXTRA_INDEX_URL to PyTorch's own CPU wheel
         index (the address is on pytorch.org/get-started, choose "CPU"): about 300 MB instead.
TEXT
if [ -t 0 ]; then
    echo "         Going on in 15 seconds; Ctrl-C stops." >&2
    sleep 15
fi
