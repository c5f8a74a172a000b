"""`backlot upload` and `generate --input`: files of one's own, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backlot.client import Client
from backlot.errors import RequestRefused
from tests.played_gateway import Answer, Asked, Types, serving, typing_in

FOX = bytes(range(256)) * 4096
ASSET = "019aa0f0-0000-7000-8000-000000000005"


@dataclass
class Played:
    """A gateway that keeps every upload under its number, and makes no job come to anything."""

    url: str = ""
    uploads: list[tuple[str | None, bytes]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        job: dict[str, Any] = {
            "id": "0000-12345678",
            "status": "completed",
            "kind": "image",
            "asset_type": None,
            "items": [],
        }
        match asked.method, asked.path:
            case "GET", "/api/v1/providers":
                sandbox = {"name": "sandbox", "kinds": ["image"], "health": "ok", "why_not": None}
                return 200, {"items": [sandbox]}
            case "GET", _:
                return 200, {**job, "stage": None, "progress": 100}
            case _, "/api/v1/uploads":
                self.uploads.append((asked.headers["content-type"], asked.body))
                if self.refusals:
                    return self.refusals.pop(0)
                return 201, {"id": f"asset-{len(self.uploads)}", "mime": "image/png"}
        self.jobs.append(asked.json())
        return 202, job


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()
    with serving(monkeypatch, played.answer) as played.url:
        yield played


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    """Types a command in a folder with a picture of a fox."""
    (tmp_path / "fox.png").write_bytes(FOX)
    return typing_in(tmp_path, monkeypatch, capfd)


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

    assert (status, "these bytes are no media" in err) == (2, True)


def test_an_upload_is_sent_whole_again_while_a_service_is_away(gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(FOX)
    gateway.refusals = [(503, {"code": "UNAVAILABLE", "detail": "storage-service is unavailable"})] * 2

    with Client(gateway.url, "bk_x", sleep=lambda seconds: None) as client:
        assert client.upload(tmp_path / "fox.png")["id"] == "asset-3"
        assert [body for _, body in gateway.uploads] == [FOX] * 3
        gateway.refusals = [(413, {"code": "INVALID_REQUEST", "detail": "too large"})]
        with pytest.raises(RequestRefused, match="too large"):
            client.upload(tmp_path / "fox.png")
