"""A gateway that is played, with one manifest, for tests of what the client makes of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.played_gateway import Answer, Asked, serving

JOB = "019aa0f0-0000-7000-8000-000000000001"
TREE = "channels/deep-sea/projects/whales/assets"
ASKED = ("manifest", "run", "--channel", "deep-sea", "--project", "whales")
TOLD = (*ASKED, "--topic", "whales", "--story-direction", "home")
MANIFEST = {"channel": "deep-sea", "project": "whales", "resume": True, "next_step": None}


def picture(number: int) -> bytes:
    return f"picture {number}".encode() * 1000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Played:
    """A gateway whose one manifest has come out as `items` say. `lost`: pictures that cannot be downloaded."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    status: str = "completed"
    more: dict[str, Any] = field(default_factory=dict)
    settled_after: int = 0
    lost: set[int] = field(default_factory=set)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    submitted: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)
    listed: list[dict[str, list[str]]] = field(default_factory=list)
    downloads: list[int] = field(default_factory=list)
    looked: threading.Event = field(default_factory=threading.Event)

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            return self.get(asked.path, asked.query)
        assert asked.path == "/api/v1/manifests"
        return self.post(asked.headers["idempotency-key"], asked.json())

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == "/api/v1/providers":
            return 200, {"items": [{"name": "sandbox", "kinds": ["image"], "enabled": True, "why_not": None}]}
        if path == f"/api/v1/jobs/{JOB}":
            self.looked.set()
            return 200, self.job()
        if path == "/api/v1/manifests":
            self.listed.append(query)
            return 200, {"items": [self.job()], "total": 7}
        if path.startswith("/api/v1/assets/asset-"):
            return 200, self.source(int(path.rpartition("-")[2]))
        if path.startswith("/bytes/"):
            number = int(path.rpartition("/")[2])
            self.downloads.append(number)
            return (404, {"detail": "gone"}) if number in self.lost else (200, picture(number))
        return 404, {"code": "NOT_FOUND", "detail": "there is no such job"}

    def post(self, key: str | None, body: Any) -> tuple[int, Any]:
        self.submitted.append((key, body))
        return self.refusals.pop(0) if self.refusals else (202, {**self.job(), "status": "queued", "items": []})

    def source(self, number: int) -> dict[str, Any]:
        return {"role": "primary", "url": f"{self.url}/bytes/{number}", "sha256": sha(picture(number))}

    def job(self) -> dict[str, Any]:
        self.settled_after -= 1
        counts = {name: sum(item["status"] == name for item in self.items) for name in ("completed", "skipped")}
        cost = {"actual": "0.04", "currency": "USD", "settled": self.settled_after < 0}
        return {
            "id": JOB,
            "status": self.status,
            "stage": "generating" if self.status == "processing" else None,
            "progress": 50 if self.status == "processing" else 100,
            "manifest": MANIFEST,
            "summary": {
                "generated": counts["completed"],
                "skipped": counts["skipped"],
                "failed": len(self.items) - sum(counts.values()),
                "total_cost_usd": cost["actual"],
            },
            "items": self.items,
            "cost": cost,
            "warnings": [],
            "error": None,
            **self.more,
        }

    def made(self, name: str, group: str = "characters", **more: Any) -> None:
        number = len(self.items) + 1
        self.add(name, group, status="completed", outputs=[self.source(number)], **more)

    def skipped(self, name: str, group: str = "characters") -> None:
        """What was there before is another job's output."""
        self.add(name, group, status="skipped")

    def failed(self, name: str, code: str, message: str) -> None:
        self.add(name, "props", status="failed", asset_id=None, error={"code": code, "message": message})

    def add(self, name: str, group: str, **more: Any) -> None:
        number = len(self.items) + 1
        item = {"number": number, "name": name, "group": group, "path": f"{TREE}/{group}/{name}.png", "outputs": []}
        cost = {"estimated": "0.04", "actual": "0.04"}
        self.items.append({**item, "asset_id": f"asset-{number}", "cost": cost, "warnings": [], "error": None, **more})


@contextmanager
def playing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """The gateway that commands find in the environment."""
    played = Played()
    with serving(monkeypatch, played.answer) as played.url:
        yield played


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below `folder`: files with their bytes, and folders that are empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }
