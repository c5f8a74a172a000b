"""`backlot templates`, against a gateway that is played: what it asks for, and how answers are shown."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backlot.cli import main

POSTER = {"name": "poster", "version": "v1.1", "kind": "image", "origin": "own", "placeholders": {"subject": {}}}
PREVIEW = {"prompt": "A poster of [b]a fox[/b].\nflat colours", "warnings": ["the kit has no tone"]}

Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """Address and body of whatever the gateway was asked."""
    found: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None, {"items": [POSTER], "total": 9})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))), PREVIEW)

        def _answer(self, body: Any, answer: Any) -> None:
            found.append((self.path, body))
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("BACKLOT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backlot", "templates", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        return int(status), *capfd.readouterr()

    return run


def test_templates_are_listed_with_their_slots(types: Types, asked: list[tuple[str, Any]]) -> None:
    status, out, _ = types("--kind", "image")

    assert (status, asked) == (0, [("/api/v1/templates?kind=image&limit=100", None)])
    assert out.splitlines() == [
        "template\tversion\tmakes\torigin\tslots",
        "poster\tv1.1\timage\town\tsubject",
        "1 of 9",
    ]
    assert json.loads(types("--json")[1])["items"] == [POSTER]


def test_a_preview_is_the_prompt_as_it_stands(types: Types, asked: list[tuple[str, Any]]) -> None:
    told = ("--version", "v1.1", "--brand-kit", "k1", "--style-capsule", "c1", "--variable", "stars=5")
    status, out, err = types("preview", "poster", "a fox", *told)

    assert (status, out, err) == (0, f"{PREVIEW['prompt']}\n", "warning: the kit has no tone\n")
    wanted = {"prompt": "a fox", "brand_kit_id": "k1", "style_capsule_id": "c1", "variables": {"stars": "5"}}
    assert asked == [("/api/v1/templates/poster/preview", {**wanted, "template_version": "v1.1"})]
    assert json.loads(types("preview", "poster", "--json")[1]) == PREVIEW


def test_a_name_stays_one_part_of_the_address(types: Types, asked: list[tuple[str, Any]]) -> None:
    types("preview", "../keys?a=b")

    assert [path for path, _ in asked] == ["/api/v1/templates/..%2Fkeys%3Fa%3Db/preview"]


def test_a_slot_without_a_value_is_a_wrong_command_line(types: Types, asked: list[tuple[str, Any]]) -> None:
    status, _, err = types("preview", "poster", "--variable", "stars")

    assert (status, asked, "--variable is like" in err) == (2, [], True)
