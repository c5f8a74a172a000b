"""fal's queue: the walk of a request, the list, cancelling, signed callbacks; and its own client over https."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from simulator.testing import Customer, RunningSimulator

KEY = {"Authorization": "Key sim-fal"}
MODEL = "fal-ai/flux/dev"


def submit(simulator: RunningSimulator, tag: str = "", webhook: str | None = None, **changes: Any) -> Any:
    prompt = f"A fox [[sim:{tag}]]" if tag else "A fox"
    query = {"fal_webhook": webhook} if webhook else {}
    answer = simulator.http.post(
        f"{simulator.url}/fal/{MODEL}", params=query, json={"prompt": prompt, **changes}, headers=KEY, timeout=10
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(simulator: RunningSimulator, url: str) -> httpx.Response:
    return simulator.http.get(url, headers=KEY)


def until_settled(simulator: RunningSimulator) -> list[Any]:
    """All callbacks, when none is owed any more."""
    deadline = time.monotonic() + 10
    while True:
        told: list[Any] = simulator.get("callbacks")
        if all(one["done_at"] is not None for one in told):
            return told
        assert time.monotonic() < deadline, told


def is_signed(simulator: RunningSimulator, headers: dict[str, str], body: bytes) -> bool:
    (key,) = simulator.http.get(f"{simulator.url}/fal/.well-known/jwks.json").json()["keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    names = ("request-id", "user-id", "timestamp")
    message = "\n".join([*(headers[f"x-fal-webhook-{name}"] for name in names), hashlib.sha256(body).hexdigest()])
    try:
        public.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), message.encode())
    except InvalidSignature:
        return False
    return True


def test_a_request_walks_from_the_queue_to_its_result(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="fal", queued_s=[5, 5], running_s=[5, 5])
    made = submit(simulator, image_size={"width": 1280, "height": 720}, num_images=2, output_format="png")
    assert made["status_url"].endswith(f"/fal/fal-ai/flux/requests/{made['request_id']}/status")
    seen = []
    for _ in range(3):
        seen.append(
            (get(simulator, made["status_url"]).json()["status"], get(simulator, made["response_url"]).status_code)
        )
        simulator.advance(5)
    assert seen == [("IN_QUEUE", 400), ("IN_PROGRESS", 400), ("COMPLETED", 200)]
    result = get(simulator, made["response_url"]).json()
    assert [(one["width"], one["height"], one["content_type"]) for one in result["images"]] == [
        (1280, 720, "image/png")
    ] * 2
    assert len({simulator.http.get(one["url"]).content for one in result["images"]}) == 2
    assert simulator.bill()["amount_micros"] == 2 * 25_000


def test_what_had_not_started_is_given_back_when_it_is_cancelled(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="fal", queued_s=[5, 5], running_s=[5, 5])
    queued, running = submit(simulator, seed=1), submit(simulator, seed=2)
    assert simulator.http.put(queued["cancel_url"], headers=KEY).json() == {"status": "CANCELLATION_REQUESTED"}
    simulator.advance(6)
    assert simulator.http.put(running["cancel_url"], headers=KEY).status_code == 202

    ended = get(simulator, queued["status_url"]).json()
    assert (ended["status"], ended["error_type"]) == ("COMPLETED", "request_cancelled")
    assert simulator.http.put(queued["cancel_url"], headers=KEY).json() == {"status": "ALREADY_COMPLETED"}
    lines = simulator.bill()["lines"]
    assert [(line["external_id"] == queued["request_id"], line["kind"]) for line in lines] == [
        (True, "charge"),
        (False, "charge"),
        (True, "refund"),
    ]
    assert simulator.bill()["amount_micros"] == 25_000


@pytest.mark.parametrize(
    ("tag", "status", "kind"),
    [("policy:output", 422, "content_policy_violation"), ("fail", 500, "internal_server_error")],
)
def test_a_request_that_fails_is_completed_with_an_error_and_costs_nothing(
    simulator: RunningSimulator, tag: str, status: int, kind: str
) -> None:
    made = submit(simulator, tag)
    ended, result = get(simulator, made["status_url"]).json(), get(simulator, made["response_url"])
    assert (ended["status"], ended["error_type"]) == ("COMPLETED", kind)
    assert (result.status_code, result.json()["detail"][0]["type"]) == (status, kind)
    assert simulator.bill()["lines"] == []


def test_the_list_tells_what_was_asked_newest_first(simulator: RunningSimulator) -> None:
    made = [submit(simulator, seed=number)["request_id"] for number in range(3)]
    url = f"{simulator.url}/fal/v1/models/requests/by-endpoint"
    first = simulator.http.get(url, params={"endpoint_id": MODEL, "limit": 2}, headers=KEY).json()
    rest = simulator.http.get(url, params={"endpoint_id": MODEL, "cursor": first["next_cursor"]}, headers=KEY).json()
    assert [one["request_id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert first["items"][0]["json_input"] == {"prompt": "A fox", "seed": 2}
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_another_account_sees_nothing_of_it(simulator: RunningSimulator) -> None:
    simulator.post("accounts", provider="fal", accounts=[{"key": k, "name": k} for k in ("sim-fal", "other")])
    made = submit(simulator)
    assert simulator.http.get(made["status_url"], headers={"Authorization": "Key other"}).status_code == 404
    assert simulator.http.get(made["status_url"]).status_code == 401


def test_a_callback_is_signed_and_names_the_attempt(simulator: RunningSimulator, customer: Customer) -> None:
    made = submit(simulator, webhook=customer.url("attempt-1"))
    headers, body = customer.got.get(timeout=10)
    told = json.loads(body)
    assert is_signed(simulator, headers, body)
    assert not is_signed(simulator, headers, body + b" ")
    assert abs(int(headers["x-fal-webhook-timestamp"]) - time.time()) < 60
    assert (told["request_id"], told["status"]) == (made["request_id"], "OK")
    assert simulator.http.get(told["payload"]["images"][0]["url"]).status_code == 200
    assert simulator.bill()["lines"][0]["reference"] == "attempt-1"


@pytest.mark.parametrize(
    ("path", "attempt"),
    [
        ("/hooks/fal/a1/token", "a1"),
        ("/api/webhooks/fal/a1/token", "a1"),
        ("/api/webhooks/fal/token", None),
        ("/hooks/fal/a1", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_reference_is_read_off_the_callbacks_path(
    simulator: RunningSimulator, path: str, attempt: str | None
) -> None:
    submit(simulator, webhook=f"http://127.0.0.1:9{path}")
    [line] = simulator.bill()["lines"]
    assert line["reference"] == attempt


def test_a_callback_of_a_failure_says_so(simulator: RunningSimulator, customer: Customer) -> None:
    submit(simulator, "policy:output", webhook=customer.url("a1"))
    _, told = customer.next()
    assert (told["status"], told["payload"]["detail"][0]["type"]) == ("ERROR", "content_policy_violation")


def test_a_callback_that_is_not_taken_is_tried_again(simulator: RunningSimulator, customer: Customer) -> None:
    simulator.post("settings", provider="fal", callback_retry_s=[0.05, 0.05])
    customer.statuses = [500, 503]
    submit(simulator, webhook=customer.url("a1"))
    seen = {customer.next()[1]["request_id"] for _ in range(3)}
    (one,) = until_settled(simulator)
    assert len(seen) == 1
    assert ([attempt["status"] for attempt in one["attempts"]], one["delivered"]) == ([500, 503, 200], 1)


def test_a_callback_is_given_up_in_the_end(simulator: RunningSimulator, customer: Customer) -> None:
    simulator.post("settings", provider="fal", callback_retry_s=[0.05])
    customer.statuses = [500] * 5
    submit(simulator, webhook=customer.url("a1"))
    (one,) = until_settled(simulator)
    assert ([attempt["status"] for attempt in one["attempts"]], one["delivered"]) == ([500, 500], 0)


@pytest.mark.parametrize("refused", [0, 1])
def test_a_callback_comes_twice(simulator: RunningSimulator, customer: Customer, refused: int) -> None:
    simulator.post("settings", provider="fal", callback_retry_s=[0.05, 0.05])
    customer.statuses = [500] * refused
    submit(simulator, "dup_webhook", webhook=customer.url("a1"))
    seen = {customer.next()[1]["request_id"] for _ in range(refused + 2)}
    assert len(seen) == 1
    assert [one["delivered"] for one in until_settled(simulator)] == [1, 1]


def test_a_callback_comes_late(simulator: RunningSimulator, customer: Customer) -> None:
    simulator.post("clock", speed=0)
    made = submit(simulator, "late_webhook=300s", webhook=customer.url("a1"))
    assert get(simulator, made["status_url"]).json()["status"] == "COMPLETED"
    simulator.advance(299)
    assert customer.got.empty()
    simulator.advance(2)
    assert customer.next()[1]["request_id"] == made["request_id"]


@pytest.mark.parametrize(("tag", "age"), [("bad_signature", 0), ("bad_signature:old", 3600)])
def test_a_callback_is_badly_signed(simulator: RunningSimulator, customer: Customer, tag: str, age: int) -> None:
    submit(simulator, tag, webhook=customer.url("a1"))
    headers, body = customer.got.get(timeout=10)
    assert is_signed(simulator, headers, body) is (age > 0)
    assert abs(time.time() - int(headers["x-fal-webhook-timestamp"]) - age) < 60


def test_a_callback_may_never_come(simulator: RunningSimulator, customer: Customer) -> None:
    submit(simulator, "no_webhook", webhook=customer.url("a1"))
    assert simulator.get("callbacks") == []


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    """The client of fal speaks https alone."""
    running = RunningSimulator(tmp_path_factory.mktemp("secure"), tls=True)
    yield running
    running.stop()


SCRIPT = """
import json, sys
import fal_client
client = fal_client.SyncClient(key=sys.argv[1])
def ran(prompt, **more):
    try:
        return client.subscribe("fal-ai/flux/dev", {"prompt": prompt}, **more)
    except fal_client.FalClientHTTPError as error:
        return [type(error).__name__, error.status_code, error.error_type]
handle = client.submit("fal-ai/flux/dev", {"prompt": "A cat [[sim:never]]"})
handle.cancel()
print(json.dumps({
    "done": ran("A fox"),
    "policy": ran("A fox [[sim:policy:output]]"),
    "quota": ran("A fox [[sim:quota]]"),
    "again": ran("A fox [[sim:429x1:retry_after=1]]"),
    "cancelled": client.status("fal-ai/flux/dev", handle.request_id).error_type,
}))
"""


def told_by_the_client(secure: RunningSimulator, key: str) -> Any:
    env = os.environ | {"FAL_QUEUE_RUN_HOST": f"127.0.0.1:{secure.port}/fal", "SSL_CERT_FILE": str(secure.certificate)}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, key],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path("/"),
    )
    return json.loads(ran.stdout)


def test_the_client_of_fal_works_unchanged(secure: RunningSimulator) -> None:
    told = told_by_the_client(secure, "sim-fal")
    assert told["done"]["images"][0]["content_type"] == "image/jpeg"
    assert told["policy"][:2] == ["FalClientHTTPError", 422]
    assert told["quota"] == ["FalClientHTTPError", 402, "insufficient_credits"]
    assert told["again"]["images"]
    assert told["cancelled"] == "request_cancelled"
    # Paid were the cat, which is given back, and two foxes.
    assert [line["kind"] for line in secure.bill()["lines"]].count("charge") == 3
