#!/bin/sh
# Fails in one line when a port is taken. Usage: check_port.sh HOST PORT [PYTHON]
set -eu
python=$(sh scripts/find_python.sh "${3:-}")
"$python" - "$1" "$2" <<'PY'
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError as error:
        sys.exit(f"error: cannot listen on {host}:{port} ({error.strerror}): try make serve PORT={port + 1}")
PY
