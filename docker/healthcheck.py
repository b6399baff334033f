"""Exit status 0 while the process in this container answers GET /health with 200: on MASKSERVE_PROBE_PORT, if set."""

import http.client  # which, unlike urllib, asks no proxy
import os
import sys

SECONDS = 4.0


def main() -> int:
    port = os.environ.get("MASKSERVE_PROBE_PORT") or os.environ.get("MASKSERVE_PORT") or "8000"
    connection = http.client.HTTPConnection("localhost", int(port), timeout=SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        sys.stdout.write(f"{answer.status} {answer.read(1000).decode(errors='replace')}\n")
        return 0 if answer.status == 200 else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"port {port}: {error or type(error).__name__}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
