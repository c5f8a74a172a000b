"""Veo's wire. The vendor's client refuses it for this API, so that its documents are what this is held against."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import httpx
import pytest
from google import genai
from google.genai import types

from simulator.testing import RunningSimulator

MODEL = "veo-3.1-generate-preview"
KEY = {"x-goog-api-key": "sim-gemini"}


@pytest.fixture
def api(simulator: RunningSimulator) -> httpx.Client:
    return httpx.Client(base_url=f"{simulator.url}/gemini/v1beta", headers=KEY, trust_env=False)


def asked(api: httpx.Client, tag: str = "", model: str = MODEL, **given: Any) -> httpx.Response:
    instance = {"prompt": f"A fox [[sim:{tag}]]" if tag else "A fox"}
    body = {"instances": [instance], "parameters": {"durationSeconds": 4, **given}}
    return api.post(f"/models/{model}:predictLongRunning", json=body)


def operation(api: httpx.Client, tag: str = "", **given: Any) -> Any:
    """As it stands after it was taken."""
    return api.get("/" + asked(api, tag, **given).json()["name"]).json()


def sample(done: Any) -> str:
    uri: str = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
    return uri


@pytest.mark.parametrize(("ratio", "size"), [("16:9", (1280, 720)), ("9:16", (720, 1280))])
def test_a_video_has_the_shape_and_the_length_asked_for(
    api: httpx.Client, simulator: RunningSimulator, ratio: str, size: tuple[int, int]
) -> None:
    answer = api.get(sample(operation(api, aspectRatio=ratio)), follow_redirects=True)
    with av.open(BytesIO(answer.content), "r") as file:
        pictures = file.streams.video[0]
        assert (pictures.width, pictures.height) == size
        assert (file.duration or 0) / av.time_base == 4
    assert simulator.bill("veo")["amount_micros"] == 1_600_000


def test_the_vendors_own_client_refuses_it() -> None:
    with genai.Client(api_key="k") as client, pytest.raises(ValueError, match="not in Gemini Developer API mode"):
        client.models.generate_videos(model=MODEL, source=types.GenerateVideosSource(prompt="A fox"))


@pytest.mark.parametrize("how", ["truncated", "garbage", "html", "empty"])
def test_a_video_may_come_broken(api: httpx.Client, how: str) -> None:
    answer = api.get(sample(operation(api, f"corrupt:{how}")), follow_redirects=True)
    with pytest.raises((av.InvalidDataError, av.EOFError)), av.open(BytesIO(answer.content), "r") as file:
        list(file.decode(video=0))


def test_a_video_may_come_too_small_and_too_short_or_be_something_else(api: httpx.Client) -> None:
    small = api.get(sample(operation(api, "corrupt:wrong_size")), follow_redirects=True)
    with av.open(BytesIO(small.content), "r") as file:
        assert (file.streams.video[0].width, (file.duration or 0) / av.time_base) == (640, 2)
    other = api.get(sample(operation(api, "corrupt:wrong_mime")), follow_redirects=True)
    assert (other.headers["content-type"], other.content[:4]) == ("video/mp4", b"\x89PNG")


def test_the_file_wants_the_key_and_leads_to_where_none_is(api: httpx.Client, simulator: RunningSimulator) -> None:
    uri = sample(operation(api))
    assert simulator.http.get(uri).status_code == 400
    redirect = api.get(uri)
    assert redirect.status_code == 302
    assert simulator.http.get(redirect.headers["location"]).status_code == 200


def test_an_operation_is_not_done_until_it_is(api: httpx.Client, simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="veo", queued_s=[5, 5], running_s=[5, 5])
    name = asked(api).json()["name"]
    seen = []
    for _ in range(3):
        seen.append(api.get(f"/{name}").json().get("done", False))
        simulator.advance(5)
    assert (name.startswith(f"models/{MODEL}/operations/"), seen) == (True, [False, False, True])


@pytest.mark.parametrize("tag", ["policy", "policy:output"])
def test_what_policy_filters_is_done_without_a_video_and_costs_nothing(
    api: httpx.Client, simulator: RunningSimulator, tag: str
) -> None:
    answer = operation(api, tag)["response"]["generateVideoResponse"]
    assert answer["raiMediaFilteredCount"] == len(answer["raiMediaFilteredReasons"]) == 1
    assert "generatedSamples" not in answer
    assert simulator.bill()["lines"] == []


def test_what_fails_is_done_with_an_error(api: httpx.Client, simulator: RunningSimulator) -> None:
    found = operation(api, "fail")
    assert (found["done"], found["error"]["code"], "response" in found) == (True, 3, False)
    assert simulator.bill()["lines"] == []


@pytest.mark.parametrize(
    "given",
    [
        {"durationSeconds": 5},
        {"resolution": "1080p"},
        {"resolution": "480p"},
        {"aspectRatio": "1:1"},
        {"sampleCount": 2},
        {"seed": 7},
        {"generateAudio": True},
    ],
)
def test_what_cannot_be_made_is_refused(api: httpx.Client, given: dict[str, Any]) -> None:
    answer = asked(api, **given)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_large_videos_are_made_at_eight_seconds(api: httpx.Client, simulator: RunningSimulator) -> None:
    assert asked(api, resolution="1080p", durationSeconds=8).status_code == 200
    assert simulator.bill()["lines"][0]["units"] == {"second": 8}


def test_names_that_are_not_there(api: httpx.Client) -> None:
    name = asked(api).json()["name"]
    others = (name + "x", name.replace(MODEL, "veo-3.1-lite-generate-preview"))
    assert [api.get(f"/{other}").status_code for other in others] == [404, 404]
    assert asked(api, model="veo-1").status_code == 404
    assert api.get("/files/veonobody:download").status_code == 404


def test_errors_have_the_body_that_pictures_have(api: httpx.Client, simulator: RunningSimulator) -> None:
    limited, broken = asked(api, "429:body_retryinfo=37s"), asked(api, "http503")
    assert (limited.status_code, "37s" in limited.text) == (429, True)
    assert (broken.status_code, broken.json()["error"]["status"]) == (503, "UNAVAILABLE")
    assert api.get("/models/x", headers={"x-goog-api-key": "other"}).json()["error"]["status"] == "INVALID_ARGUMENT"
    assert simulator.bill()["lines"] == []


def test_pictures_keep_their_place_beside_videos(api: httpx.Client, simulator: RunningSimulator) -> None:
    body = {"contents": [{"parts": [{"text": "A fox"}]}]}
    assert api.post("/models/gemini-2.5-flash-image:generateContent", json=body).status_code == 200
    asked(api)
    assert [line["provider"] for line in simulator.bill()["sums"]] == ["gemini", "veo"]


@pytest.mark.parametrize(
    ("tag", "seen"), [("status:unknown", "CONTEMPLATING"), ("status:back", None), ("status:extra", True)]
)
def test_a_question_may_be_answered_oddly(api: httpx.Client, tag: str, seen: Any) -> None:
    assert operation(api, tag).get("done") == seen
