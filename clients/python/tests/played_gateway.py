"""A gateway that a test plays over real HTTP, and commands typed at it."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from backlot.cli import main


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; `target` is its path with the query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, Any]
"""A status, and bytes or what becomes JSON."""
Types = Callable[..., tuple[int, str, str]]


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Asked], Answer]) -> Iterator[str]:
    """The address of a gateway that commands find in the environment."""

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            status, said = answer(Asked(self.command, self.path, cast("Mapping[str, str]", self.headers), body))
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _take

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("BACKLOT_URL", url)
        monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")
        yield url
        server.shutdown()
        thread.join()


def typing_in(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    """Types a command in `folder`; its status, and what it said on stdout and stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backlot", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        return int(status), *capfd.readouterr()

    return run
