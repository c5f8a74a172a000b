"""The contract of nanobanana.md, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator.testing import RunningSimulator

CUT = (httpx.NetworkError, httpx.RemoteProtocolError)
BODY = {"prompt": "A fox", "width": 640, "height": 360}


@pytest.fixture(params=["", "/v1"])
def client(simulator: RunningSimulator, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer sim-nanobanana"}
    with httpx.Client(base_url=f"{simulator.url}/nanobanana{request.param}", headers=headers) as made:
        yield made


def generate(client: httpx.Client, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
    return client.post("/generate", json=BODY | changes, headers=headers)


def test_a_picture_is_made_at_once_and_has_exactly_its_size(client: httpx.Client, simulator: RunningSimulator) -> None:
    answer = generate(client, seed=7)

    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["progress"], told["seed"]) == ("completed", 100, 7)
    picture = Image.open(BytesIO(httpx.get(told["image_url"]).content))
    picture.load()
    assert (picture.size, picture.format) == ((640, 360), "PNG")
    assert simulator.bill()["amount_micros"] == told["cost"]["amount_micros"] == 39_000


def test_what_takes_long_is_answered_202_and_can_be_asked_after(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="nanobanana", queued_s=[10, 10], running_s=[20, 20])
    answer = generate(client)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    seen = []
    for _ in range(4):
        told = client.get("/status", params={"generation_id": answer.json()["generation_id"]}).json()
        seen.append((told["status"], told["progress"]))
        simulator.advance(10)
    assert seen == [("queued", 0), ("processing", 0), ("processing", 49), ("completed", 100)]


def test_a_caller_may_prefer_not_to_wait(client: httpx.Client) -> None:
    assert generate(client, {"Prefer": "respond-async"}).status_code == 202


def test_a_repeated_key_gives_the_first_generation_and_is_not_paid_again(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    first, again = (generate(client, {"Idempotency-Key": "k1"}, reference_id="r1") for _ in range(2))

    assert again.json()["generation_id"] == first.json()["generation_id"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert len(simulator.bill()["lines"]) == 1
    assert [call["repeated"] for call in simulator.calls(reference="r1")] == [False, True]
    assert simulator.get("counters")["repeated_submits"] == [
        {"provider": "nanobanana", "reference": "r1", "submits": 2, "repeated": 1}
    ]


def test_a_key_used_for_another_body_is_a_conflict(client: httpx.Client, simulator: RunningSimulator) -> None:
    generate(client, {"Idempotency-Key": "k1"})
    other = generate(client, {"Idempotency-Key": "k1"}, prompt="A cat")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "invalid_request")
    assert len(simulator.bill()["lines"]) == 1


def test_a_lost_answer_is_found_by_its_reference(client: httpx.Client, simulator: RunningSimulator) -> None:
    with pytest.raises(CUT):
        generate(client, prompt="A fox [[sim:drop_after_accept]]", reference_id="r1")

    found = client.get("/status", params={"reference_id": "r1"})
    assert found.json()["status"] == "completed"
    assert [line["external_id"] for line in simulator.bill()["lines"]] == [found.json()["generation_id"]]


def test_an_answer_lost_once_is_given_to_the_repeated_key(client: httpx.Client, simulator: RunningSimulator) -> None:
    lost = {"prompt": "A fox [[sim:drop_after_accept]]", "reference_id": "r1"}
    with pytest.raises(CUT):
        generate(client, {"Idempotency-Key": "k1"}, **lost)

    assert generate(client, {"Idempotency-Key": "k1"}, **lost).json()["status"] == "completed"
    assert len(simulator.bill()["lines"]) == 1


def test_what_was_never_accepted_is_definitely_not_found(client: httpx.Client) -> None:
    with pytest.raises(CUT):
        generate(client, prompt="A fox [[sim:drop]]", reference_id="r1")
    answer = client.get("/status", params={"reference_id": "r1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("tag", "status", "code"),
    [
        ("auth", 401, "invalid_api_key"),
        ("quota", 402, "insufficient_credits"),
        ("429:retry_after=3", 429, "rate_limited"),
        ("policy", 400, "content_policy"),
        ("policy:output", 400, "content_policy"),
        ("fail", 500, "internal"),
        ("http503", 503, "internal"),
    ],
)
def test_a_fault_has_its_status_and_code_and_costs_nothing(
    client: httpx.Client, simulator: RunningSimulator, tag: str, status: int, code: str
) -> None:
    answer = generate(client, prompt=f"A fox [[sim:{tag}]]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)
    assert simulator.bill()["lines"] == []


@pytest.mark.parametrize(
    "changes",
    [{"width": 0}, {"height": 5000}, {"prompt": ""}, {"seed": "x"}, {"reference_id": ""}, {"width": None}],
)
def test_an_invalid_request_is_told_so(client: httpx.Client, changes: dict[str, Any]) -> None:
    answer = generate(client, **changes)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_no_key_and_a_wrong_key_are_refused(client: httpx.Client) -> None:
    for header in ("Bearer other", "sim-nanobanana"):
        assert generate(client, {"Authorization": header}).status_code == 401
    assert client.get("/health").json() == {"status": "ok"}


def test_strange_answers_to_a_poll(client: httpx.Client) -> None:
    """A word nobody documented, a field nobody knows, a step back, and a generation that is gone."""
    seen = {}
    for odd in ("unknown", "extra", "back", "gone"):
        made = generate(client, prompt=f"A fox [[sim:statusx1:{odd}]]").json()
        seen[odd] = [client.get("/status", params={"generation_id": made["generation_id"]}) for _ in range(2)]
    assert seen["unknown"][0].json()["status"] == "contemplating"
    assert "mood" in seen["extra"][0].json()
    assert seen["back"][0].json()["status"] == "queued"
    assert seen["gone"][0].status_code == 404
    assert {answers[1].json()["status"] for answers in seen.values()} == {"completed"}
