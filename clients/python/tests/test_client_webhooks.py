"""`backlot webhooks`, against a gateway that is played: what it asks for, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.played_gateway import Answer, Asked, Types, serving, typing_in

SECRET = "whsec_" + "A" * 44
HOOK: dict[str, Any] = {
    "id": "h1",
    "url": "https://studio.example/[b]hook",
    "events": ["job.completed", "job.failed"],
    "disabled_reason": None,
}
DELIVERY: dict[str, Any] = {
    "id": "d1",
    "event": "job.failed",
    "job_id": "j1",
    "state": "given_up",
    "attempts": 10,
    "error": "the receiver answered 500",
}
PROBLEM = {"code": "NOT_FOUND", "detail": "there is no webhook h9", "errors": []}
ANSWERS: dict[str, Answer] = {
    "POST /api/v1/webhooks": (201, {**HOOK, "secret": SECRET}),
    "GET /api/v1/webhooks": (200, {"items": [HOOK, {**HOOK, "id": "h2", "disabled_reason": "gone"}], "total": 2}),
    "DELETE /api/v1/webhooks/h1": (204, b""),
    "GET /api/v1/webhooks/h1/deliveries": (200, {"items": [DELIVERY], "total": 7}),
    "POST /api/v1/webhooks/h1/deliveries/d1/redeliver": (202, {**DELIVERY, "state": "pending"}),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """What the gateway was asked, and with which body."""
    found: list[tuple[str, Any]] = []

    def answer(asked: Asked) -> Answer:
        found.append((f"{asked.method} {asked.target}", asked.json() if asked.body else None))
        return ANSWERS.get(f"{asked.method} {asked.path}", (404, PROBLEM))

    with serving(monkeypatch, answer):
        yield found


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    return partial(typing_in(tmp_path, monkeypatch, capfd), "webhooks")


def test_an_address_is_added_and_its_secret_is_said_to_be_shown_once(
    types: Types, asked: list[tuple[str, Any]]
) -> None:
    told = ("--event", "job.failed", "--event", "job.settled", "--description", "studio")
    status, out, err = types("add", "https://studio.example/hook", *told)

    assert (status, out, err) == (0, f"id: h1\nsecret: {SECRET}\n", "The secret is not shown again.\n")
    wanted = {"url": "https://studio.example/hook", "events": ["job.failed", "job.settled"], "description": "studio"}
    assert asked == [("POST /api/v1/webhooks", wanted)]
    status, out, err = types("add", "https://studio.example/hook", "--json")
    assert (status, json.loads(out)["secret"], err) == (0, SECRET, "")
    assert asked[-1][1] == {"url": "https://studio.example/hook", "events": None, "description": None}


def test_webhooks_are_listed_with_what_they_hear_and_why_one_is_disabled(
    types: Types, asked: list[tuple[str, Any]]
) -> None:
    status, out, _ = types("list")

    assert (status, asked) == (0, [("GET /api/v1/webhooks?limit=100", None)])
    assert out.splitlines() == [
        "webhook\taddress\thears\tdisabled",
        "h1\thttps://studio.example/[b]hook\tjob.completed job.failed\t",
        "h2\thttps://studio.example/[b]hook\tjob.completed job.failed\tgone",
        "2 of 2",
    ]
    assert json.loads(types("list", "--json")[1])["total"] == 2


def test_a_webhook_is_removed(types: Types, asked: list[tuple[str, Any]]) -> None:
    assert types("remove", "h1") == (0, "", "")
    assert asked == [("DELETE /api/v1/webhooks/h1", None)]
    assert types("remove", "h9") == (1, "", "NOT_FOUND: there is no webhook h9\n")


def test_deliveries_are_listed_with_why_they_did_not_arrive(types: Types, asked: list[tuple[str, Any]]) -> None:
    status, out, _ = types("deliveries", "h1", "--state", "given_up", "--limit", "5")

    assert (status, asked) == (0, [("GET /api/v1/webhooks/h1/deliveries?state=given_up&limit=5", None)])
    assert out.splitlines() == [
        "delivery\tevent\tjob\tstate\tattempts\twhy",
        "d1\tjob.failed\tj1\tgiven_up\t10\tthe receiver answered 500",
        "1 of 7",
    ]
    assert json.loads(types("deliveries", "h1", "--json")[1])["items"] == [DELIVERY]
    assert asked[-1] == ("GET /api/v1/webhooks/h1/deliveries?limit=20", None)
    assert types("deliveries", "h1", "--state", "lost")[0] == 2


def test_a_delivery_is_sent_again(types: Types, asked: list[tuple[str, Any]]) -> None:
    assert types("redeliver", "h1", "d1") == (0, "d1 is pending\n", "")
    assert asked == [("POST /api/v1/webhooks/h1/deliveries/d1/redeliver", None)]
    assert json.loads(types("redeliver", "h1", "d1", "--json")[1])["state"] == "pending"
