#!/bin/sh
# Prints the first working Python 3.11-3.13. Usage: find_python.sh [PREFERRED]
set -u

supported() {
    "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

for candidate in ${1:-python3.11 python3.12 python3.13 python3 python}; do
    if supported "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
echo "error: ${1:-no Python 3.11, 3.12 or 3.13 on PATH}${1:+ is not Python 3.11-3.13}: install one (Debian/Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.11; or python.org) or name one with PYTHON=/path/to/python" >&2
exit 1
