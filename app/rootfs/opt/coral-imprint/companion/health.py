"""The image's health check: ``python -m companion.health`` ends with 0 where the server is live."""

import http.client
import sys

from .server import Layout

_SECONDS = 4


def main(port: int = Layout.port) -> int:
    """Ask the server; returns the exit status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/v2/health/live")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
