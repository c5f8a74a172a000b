"""Videos and music of Interactions by the vendor's own client: what it gets, what it raises, what it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import av
import pytest
import soundfile
from google import genai
from google.genai import types

from simulator.testing import Customer, RunningSimulator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.genai._interactions import APIStatusError, BadRequestError, NotFoundError, RateLimitError

OMNI = "gemini-omni-1.1-flash"
VIDEO = {"type": "video", "delivery": "uri", "aspect_ratio": "16:9", "resolution": "360p", "duration": "3s"}
PICTURE = base64.b64encode(b"a picture").decode()
NOBODY = "v1nobody"


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[genai.Client]:
    once = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=f"{simulator.url}/gemini", retry_options=once)
    with genai.Client(api_key="sim-gemini", http_options=options) as made:
        yield made


def created(client: genai.Client, tag: str = "", **more: Any) -> Any:
    given: dict[str, Any] = {"model": OMNI, "response_format": VIDEO, "background": True, **more}
    return client.interactions.create(input=f"A fox [[sim:{tag}]]" if tag else "A fox", **given)


def downloaded(client: genai.Client, uri: str) -> bytes:
    """By its name: the client takes addresses of https alone."""
    data = client.files.download(file="files/" + uri.partition("/files/")[2].partition(":")[0])
    assert data is not None
    return data


def slowly(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="gemini_interactions", queued_s=[5, 5], running_s=[5, 5])


def test_a_video_is_made_in_the_background_and_downloaded_with_the_key(
    client: genai.Client, simulator: RunningSimulator
) -> None:
    made = created(client, labels={"reference": "attempt-1", "tenant": "acme"})
    found = client.interactions.get(made.id).output_video
    assert found is not None
    data = downloaded(client, found.uri or "")
    with av.open(BytesIO(data), "r") as file:
        pictures = file.streams.video[0]
        assert (pictures.width, pictures.height, (file.duration or 0) / av.time_base) == (640, 360, 3)
    [line] = simulator.bill()["lines"]
    assert (line["amount_micros"], line["reference"], line["tenant"]) == (150_000, "attempt-1", "acme")
    assert simulator.http.get(found.uri or "").status_code == 400


def test_the_download_leads_to_an_address_without_the_key(client: genai.Client, simulator: RunningSimulator) -> None:
    found = client.interactions.get(created(client).id).output_video
    assert found is not None
    answer = simulator.http.get(found.uri or "", headers={"x-goog-api-key": "sim-gemini"})
    assert answer.status_code == 302
    assert "sim-gemini" not in answer.headers["location"]
    assert simulator.http.get(answer.headers["location"]).headers["content-type"] == "video/mp4"


def test_stamped_videos_are_made_once_and_differ_all_the_same(
    client: genai.Client, simulator: RunningSimulator
) -> None:
    simulator.post("settings", provider="gemini_interactions", pictures="stamped")
    inline: Any = {**VIDEO, "delivery": "inline"}
    found = set()
    for number in range(10):
        made: Any = client.interactions.create(model=OMNI, input=f"A fox {number}", response_format=inline)
        found.add(base64.b64decode(made.output_video.data))
    assert len(found) == 10
    # A stamp is a box at the end; each video has another one of the same name near its beginning.
    assert 1 < len({data[: data.rindex(b"free") - 4] for data in found}) <= 8
    for data in found:
        with av.open(BytesIO(data), "r") as file:
            assert sum(1 for _ in file.decode(video=0)) == 3 * 24


def test_an_interaction_walks_from_its_start_to_its_end(client: genai.Client, simulator: RunningSimulator) -> None:
    slowly(simulator)
    made, seen = created(client), []
    for _ in range(3):
        found = client.interactions.get(made.id)
        seen.append((found.status, found.output_video is not None))
        simulator.advance(5)
    assert seen == [("queued", False), ("in_progress", False), ("completed", True)]


def test_without_the_background_the_answer_is_the_end(client: genai.Client, simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="gemini_interactions", running_s=[0.2, 0.2])
    made = created(client, background=False, response_format={**VIDEO, "delivery": "inline"})
    assert made.status == "completed"
    assert base64.b64decode(made.output_video.data)[4:8] == b"ftyp"


def test_a_video_may_stand_upright_and_begin_with_a_picture(client: genai.Client, simulator: RunningSimulator) -> None:
    contents = [
        {"type": "image", "data": PICTURE, "mime_type": "image/png"},
        {"type": "text", "text": "It begins to run"},
    ]
    given: Any = {"response_format": {**VIDEO, "aspect_ratio": "9:16"}, "input": contents}
    made: Any = client.interactions.create(model=OMNI, **given)
    assert made.output_video is not None
    with av.open(BytesIO(downloaded(client, made.output_video.uri or "")), "r") as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (360, 640)


@pytest.mark.parametrize(
    ("model", "words", "lengths", "micros"),
    [
        ("lyria-3-clip-preview", "A waltz", (30, 30), 40_000),
        ("lyria-3-pro-preview", "A waltz of 40 seconds", (38, 42), 80_000),
        ("lyria-3.5", "A waltz of 40 seconds", (38, 42), 80_000),
    ],
)
def test_music_comes_with_its_words_and_about_as_long_as_was_said(
    client: genai.Client, simulator: RunningSimulator, model: str, words: str, lengths: tuple[int, int], micros: int
) -> None:
    made: Any = client.interactions.create(model=model, input=words)
    assert made.output_audio is not None
    assert made.output_text
    data, rate = soundfile.read(BytesIO(base64.b64decode(made.output_audio.data or b"")))
    assert lengths[0] - 0.1 <= len(data) / rate <= lengths[1] + 0.1
    assert simulator.bill()["amount_micros"] == micros


def test_previews_of_lyria_answer_in_the_older_form(simulator: RunningSimulator) -> None:
    def answered(model: str) -> Any:
        url, key = f"{simulator.url}/gemini/v1beta/interactions", {"x-goog-api-key": "sim-gemini"}
        return simulator.http.post(url, json={"model": model, "input": "A waltz of 9 seconds"}, headers=key).json()

    older, newer = answered("lyria-3-clip-preview"), answered("lyria-3.5")
    assert ("outputs" in older, "steps" in older) == (True, False)
    assert ("outputs" in newer, "steps" in newer) == (False, True)


@pytest.mark.parametrize("tag", ["policy", "policy:input", "policy:output"])
def test_a_refusal_is_completed_with_words_alone_and_costs_nothing(
    client: genai.Client, simulator: RunningSimulator, tag: str
) -> None:
    found = client.interactions.get(created(client, tag).id)
    assert (found.status, found.output_video) == ("completed", None)
    assert found.output_text
    assert simulator.bill()["lines"] == []


def test_a_failure_is_a_status_and_costs_nothing(client: genai.Client, simulator: RunningSimulator) -> None:
    found = client.interactions.get(created(client, "fail").id)
    assert (found.status, [error.code for error in found.errors or ()]) == ("failed", ["internal_error"])
    assert simulator.bill()["lines"] == []


@pytest.mark.parametrize(
    ("tag", "raised", "words"),
    [
        ("429:retry_after=3", RateLimitError, "retry in 3s"),
        ("quota", RateLimitError, "PerDay"),
        ("auth", BadRequestError, "API key not valid"),
        ("http503", APIStatusError, "service_unavailable"),
    ],
)
def test_an_error_is_raised_with_its_code(
    client: genai.Client, simulator: RunningSimulator, tag: str, raised: type[Exception], words: str
) -> None:
    with pytest.raises(raised, match=words):
        created(client, tag)
    assert simulator.bill()["lines"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": {**VIDEO, "duration": "2s"}},
        {"response_format": {**VIDEO, "duration": "11s"}},
        {"response_format": {**VIDEO, "aspect_ratio": "1:1"}},
        {"response_format": {**VIDEO, "resolution": "8k"}},
        {"labels": {"Reference": "a1"}},
        {"labels": {"reference": "A1"}},
        {"labels": {"reference": "a" * 64}},
    ],
)
def test_what_cannot_be_made_is_refused(client: genai.Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        created(client, **wrong)


def test_a_model_and_an_interaction_that_are_not_there(client: genai.Client) -> None:
    with pytest.raises(NotFoundError):
        created(client, model="gemini-omni-9")
    with pytest.raises(BadRequestError, match="Invalid interaction name"):
        client.interactions.get(NOBODY)


def test_what_runs_is_cancelled_and_what_has_ended_is_not(client: genai.Client, simulator: RunningSimulator) -> None:
    slowly(simulator)
    queued, running = created(client), created(client)
    assert client.interactions.cancel(queued.id).status == "cancelled"
    simulator.advance(6)
    assert client.interactions.cancel(running.id).status == "cancelled"
    with pytest.raises(BadRequestError):
        client.interactions.cancel(running.id)
    assert simulator.bill()["amount_micros"] == 150_000


def test_what_was_deleted_is_not_there(client: genai.Client) -> None:
    made = created(client)
    client.interactions.delete(made.id)
    with pytest.raises(BadRequestError, match="Invalid interaction name"):
        client.interactions.get(made.id)


def test_a_video_is_kept_for_two_days(client: genai.Client, simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    found = client.interactions.get(created(client).id).output_video
    assert found is not None
    simulator.advance(2 * 86_400 - 1)
    assert downloaded(client, found.uri or "")
    simulator.advance(2)
    answer = simulator.http.get(found.uri or "", headers={"x-goog-api-key": "sim-gemini"}, follow_redirects=True)
    assert answer.status_code == 403


def test_a_callback_says_what_has_ended_and_brings_back_what_was_given_along(
    client: genai.Client, simulator: RunningSimulator, customer: Customer
) -> None:
    config = {"uris": [customer.url("attempt-1")], "user_metadata": {"reference": "attempt-1"}}
    made = created(client, webhook_config=config)
    _, body = customer.next()
    assert (body["type"], body["data"], body["user_metadata"]) == (
        "interaction.completed",
        {"id": made.id},
        {"reference": "attempt-1"},
    )
    assert simulator.bill()["lines"][0]["reference"] == "attempt-1"
    created(client, "fail", webhook_config=config)
    _, failed = customer.next()
    assert (failed["type"], failed["data"]["error_code"]) == ("interaction.failed", "internal_error")


@pytest.mark.parametrize(("tag", "believed"), [("", True), ("bad_signature", False)])
def test_a_registered_address_is_called_and_its_secret_proves_it(
    client: genai.Client, customer: Customer, tag: str, believed: bool
) -> None:
    registered = client.webhooks.create(uri=customer.url("a1"), subscribed_events=["interaction.completed"])
    created(client, tag)
    headers, body = customer.got.get(timeout=10)
    assert json.loads(body)["type"] == "interaction.completed"
    assert signed(registered.new_signing_secret or "", headers, body) is believed


def signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the signature is that of Standard Webhooks, reckoned here anew."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("tag", "seen"), [("status:unknown", "contemplating"), ("status:back", "queued"), ("status:extra", "completed")]
)
def test_a_question_may_be_answered_oddly(client: genai.Client, tag: str, seen: str) -> None:
    assert client.interactions.get(created(client, tag).id).status == seen
