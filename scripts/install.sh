#!/bin/sh
# Creates .venv where it is missing and installs a lock file and this project into it.
# Usage: install.sh LOCKFILE [PYTHON]
set -eu
lock=$1

if [ ! -x .venv/bin/python ]; then
    python=$(sh scripts/find_python.sh "${2:-}")
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "error: $python has no venv module: apt install python$version-venv (Debian/Ubuntu), or name another with PYTHON=/path/to/python" >&2
        exit 1
    fi
    echo "creating .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip"
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    sh scripts/warn_download.sh
fi

echo "installing $lock"
if ! $pip install --quiet --prefer-binary -r "$lock"; then
    hint="see pip's message above"
    command -v cc >/dev/null 2>&1 || hint="a package without a wheel for this Python needs a C compiler, and there is none: apt install build-essential (Debian/Ubuntu), xcode-select --install (macOS), or use Python 3.11"
    echo "error: installing $lock failed: $hint" >&2
    exit 1
fi
$pip install --quiet --no-deps -e .
