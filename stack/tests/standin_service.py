"""A process with a service's manners: answers on its internal port, writes JSON lines, ends on SIGTERM.

Run with the prefix of its settings; with ``--check-config`` after it, it says what is wrong and ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = 503 if os.environ.get("NEVER_READY") and self.path == "/readyz" else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())

    def log_message(self, *_: object) -> None:
        pass


def main(prefix: str) -> None:
    if reason := os.environ.get("REFUSE_TO_START"):
        sys.exit(f"cannot start:\n  - {reason}")
    if "--check-config" in sys.argv:
        return
    if os.path.exists(os.environ.get("REFUSE_WHILE_THERE_IS", "")):
        sys.exit("not now")
    if os.environ.get("DEAF_TO_SIGTERM"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    helper = subprocess.Popen(["sleep", "600"]) if os.environ.get("WITH_A_CHILD") else None
    print(json.dumps({"event": "started", "pid": os.getpid(), "child": helper and helper.pid}), flush=True)
    HTTPServer(("127.0.0.1", int(os.environ[f"{prefix}INTERNAL_PORT"])), Answer).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
