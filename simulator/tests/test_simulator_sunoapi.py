"""Suno by way of a gateway: codes in the body, two tracks of their own lengths, callbacks by stage."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
import soundfile

from simulator.testing import Customer, RunningSimulator

KEY = {"Authorization": "Bearer sim-sunoapi"}
SIMPLE = {"customMode": False, "instrumental": True, "model": "V4_5ALL", "callBackUrl": "http://127.0.0.1:9/"}
CUSTOM = {**SIMPLE, "customMode": True, "style": "electronic", "title": "Loop"}


def generate(simulator: RunningSimulator, prompt: str = "A calm loop", **changes: Any) -> Any:
    return said(simulator, "POST", "generate", json={**SIMPLE, "prompt": prompt, **changes})


def said(simulator: RunningSimulator, method: str, path: str, **request: Any) -> Any:
    """The body of an answer, whose status says nothing."""
    answer = simulator.http.request(
        method, f"{simulator.url}/sunoapi/api/v1/{path}", headers=request.pop("headers", KEY), **request
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def task(simulator: RunningSimulator, made: Any) -> Any:
    return said(simulator, "GET", "generate/record-info", params={"taskId": made["data"]["taskId"]})["data"]


def slowly(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="sunoapi", queued_s=[10, 10], running_s=[100, 100])


def test_a_task_has_two_tracks_of_the_lengths_it_names(simulator: RunningSimulator) -> None:
    made = generate(simulator)
    assert (made["code"], made["msg"]) == (200, "success")
    found = task(simulator, made)
    assert (found["status"], found["errorCode"]) == ("SUCCESS", None)
    told, heard = [], []
    for track in found["response"]["sunoData"]:
        data, rate = soundfile.read(BytesIO(simulator.http.get(track["audioUrl"]).content))
        told.append(track["duration"])
        heard.append(len(data) / rate)
    assert heard == pytest.approx(told, abs=0.1)
    assert len(set(told)) == 2
    assert simulator.bill()["amount_micros"] == 100_000


def test_a_task_walks_through_its_stages(simulator: RunningSimulator) -> None:
    slowly(simulator)
    made, seen = generate(simulator), []
    for seconds in (0, 11, 30, 40, 40):
        simulator.advance(seconds)
        found = task(simulator, made)
        seen.append((found["status"], len((found["response"] or {"sunoData": ()})["sunoData"])))
    assert seen == [("PENDING", 0), ("PENDING", 0), ("TEXT_SUCCESS", 0), ("FIRST_SUCCESS", 1), ("SUCCESS", 2)]


def test_callbacks_come_by_stage_and_in_snake_case(simulator: RunningSimulator, customer: Customer) -> None:
    slowly(simulator)
    made = generate(simulator, callBackUrl=customer.url("attempt-1"))
    told = []
    for seconds in (41, 40, 40):
        simulator.advance(seconds)
        told.append(customer.next()[1])
    assert [(one["code"], one["data"]["callbackType"], len(one["data"]["data"])) for one in told] == [
        (200, "text", 0),
        (200, "first", 1),
        (200, "complete", 2),
    ]
    last = told[-1]["data"]
    assert last["task_id"] == made["data"]["taskId"]
    assert {"audio_url", "stream_audio_url", "model_name", "duration"} <= last["data"][0].keys()
    assert simulator.http.get(last["data"][1]["audio_url"]).status_code == 200
    assert simulator.bill()["lines"][0]["reference"] == "attempt-1"


@pytest.mark.parametrize(
    ("tag", "status", "code"), [("fail", "GENERATE_AUDIO_FAILED", 501), ("policy", "SENSITIVE_WORD_ERROR", 400)]
)
def test_a_task_that_came_to_nothing_says_so_once_and_costs_nothing(
    simulator: RunningSimulator, customer: Customer, tag: str, status: str, code: int
) -> None:
    made = generate(simulator, f"A calm loop [[sim:{tag}]]", callBackUrl=customer.url("a1"))
    found = task(simulator, made)
    assert (found["status"], found["errorCode"], found["response"]) == (status, code, None)
    _, told = customer.next()
    assert (told["code"], told["data"]["callbackType"], told["data"]["data"]) == (code, "error", None)
    assert len(simulator.get("callbacks")) == 1
    assert simulator.bill()["lines"] == []


def test_a_task_whose_callback_failed_has_its_tracks_nevertheless(
    simulator: RunningSimulator, customer: Customer
) -> None:
    made = generate(simulator, "A calm loop [[sim:callback_exception]]", callBackUrl=customer.url("a1"))
    found = task(simulator, made)
    assert (found["status"], len(found["response"]["sunoData"])) == ("CALLBACK_EXCEPTION", 2)
    assert simulator.get("callbacks") == []


@pytest.mark.parametrize(
    ("tag", "code"),
    [("auth", 401), ("quota", 429), ("429", 430), ("http500", 500), ("http503", 455)],
)
def test_a_refusal_is_told_by_the_code_in_the_body(simulator: RunningSimulator, tag: str, code: int) -> None:
    answer = generate(simulator, f"A calm loop [[sim:{tag}]]")
    assert (answer["code"], answer["data"]) == (code, None)
    assert simulator.bill()["lines"] == []


def test_a_wrong_key_and_a_task_that_is_not_there_are_codes_too(simulator: RunningSimulator) -> None:
    assert said(simulator, "GET", "generate/credit", headers={"Authorization": "Bearer other"})["code"] == 401
    assert said(simulator, "GET", "generate/record-info", params={"taskId": "none"})["code"] == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**SIMPLE, "prompt": "x" * 501}, 413),
        ({**CUSTOM, "model": "V4", "instrumental": False, "prompt": "x" * 3_001}, 413),
        ({**CUSTOM, "title": "x" * 101}, 413),
        ({**CUSTOM, "style": ""}, 400),
        ({**SIMPLE, "prompt": "A calm loop", "model": "V3"}, 400),
        ({**SIMPLE, "prompt": "A calm loop", "callBackUrl": ""}, 400),
        ({**SIMPLE, "prompt": " "}, 400),
    ],
)
def test_what_cannot_be_made_is_refused(simulator: RunningSimulator, body: dict[str, Any], code: int) -> None:
    assert said(simulator, "POST", "generate", json=body)["code"] == code


def test_an_instrumental_of_the_custom_mode_needs_no_words(simulator: RunningSimulator) -> None:
    made = said(simulator, "POST", "generate", json=CUSTOM)
    (first, _) = task(simulator, made)["response"]["sunoData"]
    assert (first["title"], first["tags"]) == ("Loop", "electronic")


def test_credits_are_counted_down_to_the_last(simulator: RunningSimulator) -> None:
    account = {"key": "sim-sunoapi", "name": "small", "credits_micros": 160_000}
    simulator.post("accounts", provider="sunoapi", accounts=[account])
    before = said(simulator, "GET", "generate/credit")["data"]
    codes = [generate(simulator)["code"] for _ in range(2)]
    assert (before, codes, said(simulator, "GET", "generate/credit")["data"]) == (32, [200, 429], 12)
