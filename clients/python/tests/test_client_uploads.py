"""`backlot upload` and `generate --input`: files of one's own, over real HTTP."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backlot.cli import main
from backlot.client import Client
from backlot.errors import RequestRefused

FOX = bytes(range(256)) * 4096
ASSET = "019aa0f0-0000-7000-8000-000000000005"


@dataclass
class Played:
    """A gateway that keeps every upload under its number, and makes no job come to anything."""

    url: str = ""
    uploads: list[tuple[str | None, bytes]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def answer(self, path: str, media_type: str | None, body: bytes) -> tuple[int, Any]:
        if path == "/api/v1/uploads":
            self.uploads.append((media_type, body))
            if self.refusals:
                return self.refusals.pop(0)
            return 201, {"id": f"asset-{len(self.uploads)}", "mime": "image/png"}
        self.jobs.append(json.loads(body))
        return 202, {"id": "0000-12345678", "status": "completed", "kind": "image", "asset_type": None, "items": []}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/api/v1/providers":
                sandbox = {"name": "sandbox", "kinds": ["image"], "health": "ok", "why_not": None}
                self._say(200, {"items": [sandbox]})
                return
            job = {"id": "0000-12345678", "status": "completed", "stage": None, "progress": 100, "kind": "image"}
            self._say(200, {**job, "asset_type": None, "items": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self._say(*played.answer(self.path, self.headers["content-type"], body))

        def _say(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        played.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("BACKLOT_URL", played.url)
        monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")
        yield played
        server.shutdown()
        thread.join()


Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    """Types a command in a folder with a picture of a fox."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.png").write_bytes(FOX)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backlot", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        return int(status), *capfd.readouterr()

    return run


def test_files_are_brought_as_they_are_and_their_ids_are_printed(types: Types, gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "cat.glb").write_bytes(b"a cat")

    status, out, err = types("upload", "fox.png", "cat.glb")

    assert (status, err) == (0, "")
    assert out.splitlines() == ["asset-1  image/png  fox.png", "asset-2  image/png  cat.glb"]
    assert gateway.uploads == [("application/octet-stream", FOX), ("application/octet-stream", b"a cat")]
    assert [asset["id"] for asset in json.loads(types("upload", "fox.png", "--json")[1])] == ["asset-3"]


def test_what_is_built_on_may_be_a_file_an_asset_or_an_address(types: Types, gateway: Played) -> None:
    address = "https://example.com/neon.png?a=b"
    given = ("--input", "reference=fox.png", "--input", f"mask={ASSET}", "--input", f"style={address}")

    status, _, err = types("generate", "a fox at night", *given)

    assert status == 0, err
    assert gateway.jobs[0]["inputs"] == [
        {"role": "reference", "asset_id": "asset-1"},
        {"role": "mask", "asset_id": ASSET},
        {"role": "style", "url": address},
    ]
    assert [body for _, body in gateway.uploads] == [FOX]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("fox.png", "is not like reference=fox.png"),
        ("=fox.png", "is not like reference=fox.png"),
        ("reference=", "is not like reference=fox.png"),
        ("reference=cat.png", "cat.png cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_built_on_is_told_before_a_job_is_made(
    types: Types, gateway: Played, given: str, words: str
) -> None:
    status, _, err = types("generate", "a fox", "--input", given)

    assert (status, words in err.replace("\n", " ")) == (1, True), err
    assert gateway.jobs == []


def test_a_refused_upload_is_told_in_the_gateways_words(types: Types, gateway: Played) -> None:
    gateway.refusals = [(422, {"code": "CORRUPT_OUTPUT", "detail": "these bytes are no media"})]

    status, _, err = types("upload", "fox.png")

    assert (status, "these bytes are no media" in err) == (1, True)


def test_an_upload_is_sent_whole_again_while_a_service_is_away(gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(FOX)
    gateway.refusals = [(503, {"code": "UNAVAILABLE", "detail": "storage-service is unavailable"})] * 2

    with Client(gateway.url, "bk_x", sleep=lambda seconds: None) as client:
        assert client.upload(tmp_path / "fox.png")["id"] == "asset-3"
        assert [body for _, body in gateway.uploads] == [FOX] * 3
        gateway.refusals = [(413, {"code": "INVALID_REQUEST", "detail": "too large"})]
        with pytest.raises(RequestRefused, match="too large"):
            client.upload(tmp_path / "fox.png")
