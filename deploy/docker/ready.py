"""Whether the service of this container is ready: exits 0 when `/readyz` on its internal port answers 200."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    port = int(os.environ[f"{os.environ['SERVICE'].upper()}_INTERNAL_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(2048).decode(errors="replace"))
        return 0 if answer.status == http.client.OK else 1
    except OSError as error:
        sys.stdout.write(f"no answer on port {port}: {error}")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
