"""Replicate's own client against the simulator: what it gets, what it raises, which callbacks it believes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.pagination import paginate
from replicate.webhook import InvalidSignatureError, InvalidTimestampError, Webhooks

from simulator.testing import Customer, RunningSimulator

MODEL = "black-forest-labs/flux-1.1-pro"
VERSION = "5" * 64
WIDE = {"aspect_ratio": "custom", "width": 1280, "height": 720, "output_format": "png"}


@pytest.fixture
def client(simulator: RunningSimulator) -> Client:
    made = Client(api_token="sim-replicate", base_url=f"{simulator.url}/replicate")
    made.poll_interval = 0.01
    return made


def slowly(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="replicate", queued_s=[5, 5], running_s=[5, 5])


def create(client: Client, tag: str = "", **more: Any) -> Any:
    prompt = f"A fox [[sim:{tag}]]" if tag else "A fox"
    return client.models.predictions.create(model=MODEL, input={"prompt": prompt}, **more)


def test_a_model_is_run_and_its_picture_has_the_size_asked_for(client: Client, simulator: RunningSimulator) -> None:
    address = client.run(MODEL, {"prompt": "A fox", **WIDE})
    picture = Image.open(BytesIO(simulator.http.get(str(address)).content))
    picture.load()
    assert (picture.size, picture.format) == ((1280, 704), "PNG")
    assert simulator.bill()["amount_micros"] == 40_000


def test_a_version_and_a_deployment_are_run_likewise(client: Client) -> None:
    by_version = client.predictions.create(version=VERSION, input={"prompt": "A fox", "num_outputs": 2})
    deployed = client.deployments.predictions.create(deployment=("acme", "painter"), input={"prompt": "A fox"})
    for prediction in (by_version, deployed):
        prediction.wait()
    assert (by_version.version, len(by_version.output or ())) == (VERSION, 2)
    assert (deployed.model, deployed.status) == ("acme/painter", "succeeded")


def test_a_prediction_walks_from_its_start_to_its_end(client: Client, simulator: RunningSimulator) -> None:
    slowly(simulator)
    prediction, seen = create(client), []
    for _ in range(3):
        prediction.reload()
        seen.append((prediction.status, bool(prediction.started_at), bool(prediction.completed_at)))
        simulator.advance(5)
    assert seen == [("starting", False, False), ("processing", True, False), ("succeeded", True, True)]
    assert prediction.metrics == {"predict_time": pytest.approx(5)}


def test_whoever_prefers_to_wait_gets_the_end_or_a_start(client: Client, simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="replicate", running_s=[0.2, 0.2])
    assert create(client, wait=5).status == "succeeded"
    assert create(client, "slow=60s", wait=1).status == "starting"


@pytest.mark.parametrize(
    ("tag", "status", "title"),
    [
        ("auth", 401, "Unauthenticated"),
        ("quota", 402, "Insufficient credit"),
        ("http500", 500, "Internal server error"),
    ],
)
def test_an_error_is_raised_with_its_problem_details(
    client: Client, simulator: RunningSimulator, tag: str, status: int, title: str
) -> None:
    with pytest.raises(ReplicateError) as caught:
        create(client, tag)
    assert (caught.value.status, caught.value.title) == (status, title)
    assert caught.value.detail
    assert simulator.bill()["lines"] == []


def test_a_throttled_request_is_told_when_to_come_back(client: Client) -> None:
    for tag, seconds in (("429", 30), ("429:body_retryinfo=7s", 7)):
        with pytest.raises(ReplicateError) as caught:
            create(client, tag)
        assert caught.value.detail == f"Request was throttled. Your rate limit resets in ~{seconds}s."


@pytest.mark.parametrize(
    "wrong",
    [{}, {"prompt": "A fox", "width": 8, "aspect_ratio": "custom"}, {"prompt": "A fox", "output_format": "gif"}],
)
def test_what_is_invalid_is_named(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.models.predictions.create(model=MODEL, input=wrong)
    assert (caught.value.status, caught.value.title) == (422, "Input validation failed")


def test_a_version_that_is_not_there_is_told(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(version="latest", input={"prompt": "A fox"})
    assert caught.value.title == "Invalid version or not permitted"


@pytest.mark.parametrize(
    ("tag", "words"), [("fail", "ran into an error"), ("policy", "sensitive"), ("policy:output", "sensitive")]
)
def test_what_a_model_refuses_is_a_prediction_that_failed(
    client: Client, simulator: RunningSimulator, tag: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        client.run(MODEL, {"prompt": f"A fox [[sim:{tag}]]"})
    assert caught.value.prediction.status == "failed"
    assert simulator.bill()["lines"] == []


def test_the_list_goes_back_page_by_page(client: Client) -> None:
    made = [create(client).id for _ in range(101)]
    pages = [[one.id for one in page] for page in paginate(client.predictions.list)]
    assert [len(page) for page in pages] == [100, 1]
    assert sorted(made) == sorted(pages[0] + pages[1])
    assert pages[1] == [made[0]]


def test_what_had_not_started_is_given_back_when_it_is_cancelled(client: Client, simulator: RunningSimulator) -> None:
    slowly(simulator)
    queued, running = create(client), create(client)
    queued.cancel()
    simulator.advance(6)
    running.cancel()
    assert [(one.status, bool(one.started_at)) for one in (queued, running)] == [
        ("canceled", False),
        ("canceled", True),
    ]
    assert simulator.bill()["amount_micros"] == 40_000


def test_what_has_ended_cannot_be_cancelled(client: Client) -> None:
    prediction = create(client)
    prediction.cancel()
    assert prediction.status == "succeeded"


def test_an_hour_after_its_end_nothing_is_left_of_it(client: Client, simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    prediction = create(client)
    simulator.advance(3599)
    prediction.reload()
    address = prediction.output
    assert simulator.http.get(address).status_code == 200
    simulator.advance(2)
    prediction.reload()
    assert (prediction.status, prediction.output, prediction.input, prediction.logs) == ("succeeded", None, {}, "")
    assert simulator.http.get(address).status_code == 403


def test_a_callback_is_the_prediction_and_its_signature_is_believed(
    client: Client, simulator: RunningSimulator, customer: Customer
) -> None:
    made = create(client, webhook=customer.url("attempt-1"), webhook_events_filter=["completed"])
    headers, body = customer.got.get(timeout=10)
    secret = client.webhooks.default.secret()
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)
    made.reload()
    assert (f'"id": "{made.id}"'.encode() in body, b'"status": "succeeded"' in body) == (True, True)
    assert simulator.bill()["lines"][0]["reference"] == "attempt-1"


@pytest.mark.parametrize(
    ("tag", "raised"), [("bad_signature", InvalidSignatureError), ("bad_signature:old", InvalidTimestampError)]
)
def test_a_callback_that_is_badly_signed_is_not_believed(
    client: Client, customer: Customer, tag: str, raised: type[Exception]
) -> None:
    create(client, tag, webhook=customer.url("a1"), webhook_events_filter=["completed"])
    headers, body = customer.got.get(timeout=10)
    with pytest.raises(raised):
        Webhooks.validate(headers=headers, body=body.decode(), secret=client.webhooks.default.secret(), tolerance=300)


def test_callbacks_come_for_the_events_asked_for(
    client: Client, simulator: RunningSimulator, customer: Customer
) -> None:
    slowly(simulator)
    create(client, webhook=customer.url("a1"))
    create(client, webhook=customer.url("a2"), webhook_events_filter=["start"])
    simulator.advance(5)
    starts = [customer.next()[1]["status"] for _ in range(2)]
    simulator.advance(5)
    assert (starts, customer.next()[1]["status"]) == (["processing"] * 2, "succeeded")
    assert len(simulator.get("callbacks")) == 3


def test_a_callback_of_a_failure_says_so_once(client: Client, simulator: RunningSimulator, customer: Customer) -> None:
    create(client, "fail", webhook=customer.url("a1"))
    assert customer.next()[1]["status"] == "failed"
    assert len(simulator.get("callbacks")) == 1


@pytest.mark.parametrize(
    ("tag", "seen"), [("status:unknown", "contemplating"), ("status:back", "starting"), ("status:extra", "succeeded")]
)
def test_a_question_may_be_answered_oddly(client: Client, simulator: RunningSimulator, tag: str, seen: str) -> None:
    made = create(client, tag)
    answer = simulator.http.get(
        f"{simulator.url}/replicate/v1/predictions/{made.id}", headers={"Authorization": "Bearer sim-replicate"}
    )
    assert answer.json()["status"] == seen
