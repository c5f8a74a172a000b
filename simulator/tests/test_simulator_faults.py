"""How faults are asked for, and when they act."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.faults import KNOWN, Fault, Stage, UnknownFault, asked, parsed, without_tags
from simulator.testing import RunningSimulator

CUT = (httpx.NetworkError, httpx.RemoteProtocolError)
KEY = {"Authorization": "Bearer sim-nanobanana"}


def generate(simulator: RunningSimulator, tag: str = "", **headers: str) -> httpx.Response:
    prompt = f"A fox [[sim:{tag}]]" if tag else "A fox"
    body: dict[str, Any] = {"prompt": prompt, "width": 64, "height": 64}
    return simulator.http.post(f"{simulator.url}/nanobanana/generate", json=body, headers=KEY | headers, timeout=5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("429:retry_after=3", Fault("429", "retry_after", 3)),
        ("429x2:body_retryinfo=37s", Fault("429", "body_retryinfo", 37, times=2)),
        ("http500x2", Fault("http", status=500, times=2)),
        ("http504:paid", Fault("http", "paid", status=504)),
        ("slow=400s", Fault("slow", value=400)),
        ("slow=250ms", Fault("slow", value=0.25)),
        ("http503x3@status", Fault("http", status=503, times=3, endpoint="status")),
        ("status:unknown", Fault("status", "unknown", endpoint="status")),
        ("drop_after_accept", Fault("drop_after_accept")),
        ("expired_urlx1", Fault("expired_url", times=1)),
        ("corrupt:wrong_size", Fault("corrupt", "wrong_size")),
    ],
)
def test_a_fault_is_read_and_written(text: str, fault: Fault) -> None:
    assert parsed(text) == fault
    assert parsed(str(fault)) == fault


@pytest.mark.parametrize(
    "text",
    ["", "http", "http700", "nothing", "corrupt", "corrupt:seriously", "fail=3", "slow=soon", "policy:both", "x2"],
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UnknownFault):
        parsed(text)


@given(st.text())
def test_no_text_is_read_as_something_it_does_not_say(text: str) -> None:
    try:
        fault = parsed(text)
    except UnknownFault:
        return
    assert fault.name in KNOWN
    assert parsed(str(fault)) == fault


@given(st.text())
def test_tags_are_found_wherever_they_stand(text: str) -> None:
    prompt = f"{text}[[sim:fail]] and [[sim:tenant=acme]][[sim:nonsense]]"
    found = asked(prompt)
    assert Fault("fail") in found.faults
    assert found.labels["tenant"] == "acme"
    assert "nonsense" in found.unknown
    assert "[[sim:fail]]" not in without_tags(prompt)


def test_every_stage_has_a_fault() -> None:
    assert {parsed(name if name != "http" else "http500").stage for name in KNOWN if "" in KNOWN[name].variants} >= {
        Stage.REFUSE,
        Stage.LOSE,
        Stage.WORK,
        Stage.FILE,
        Stage.CALLBACK,
    }


def test_an_unknown_tag_is_ignored_with_a_warning(simulator: RunningSimulator) -> None:
    answer = generate(simulator, "explode")
    assert (answer.status_code, answer.headers["x-sim-warning"]) == (200, "unknown: explode")


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "explode"},
        {"fault": "http500", "provider": "nobody"},
        {"fault": "http500", "probability": 2},
        {"fault": "http500x2"},
        {"fault": "fail", "endpoint": "status"},
        {"fault": "status:unknown", "endpoint": "submit"},
        {"fault": "http500", "colour": "red"},
    ],
)
def test_a_rule_that_means_nothing_is_refused(simulator: RunningSimulator, rule: dict[str, Any]) -> None:
    assert simulator.refused("faults", **rule)
    assert simulator.get("faults") == []


def test_a_fault_may_be_asked_for_by_a_header(simulator: RunningSimulator) -> None:
    assert generate(simulator, **{"X-Sim-Faults": "http503"}).status_code == 503


def test_a_rule_acts_as_often_as_it_says_and_can_be_taken_back(simulator: RunningSimulator) -> None:
    simulator.fault("http500", provider="nanobanana", endpoint="submit", count=2)
    assert [generate(simulator).status_code for _ in range(3)] == [500, 500, 200]
    rule = simulator.fault("http503")
    assert generate(simulator).status_code == 503
    simulator.http.delete(f"{simulator.url}/admin/faults", params={"rule": rule})
    assert generate(simulator).status_code == 200


def test_a_rule_by_lot_draws_the_same_again_from_its_seed(simulator: RunningSimulator) -> None:
    drawn = []
    for seed in ("a", "a", "b"):
        simulator.reset()
        simulator.post("settings", queued_s=[0, 0], running_s=[0, 0])
        simulator.fault("http500", probability=0.5, seed=seed)
        drawn.append([generate(simulator).status_code for _ in range(30)])
    assert drawn[0] == drawn[1] != drawn[2]
    assert 5 < drawn[0].count(500) < 25


def test_a_rule_for_one_provider_or_endpoint_leaves_the_others_alone(simulator: RunningSimulator) -> None:
    simulator.fault("http500", provider="fal")
    simulator.fault("http503", endpoint="status")
    made = generate(simulator)
    assert made.status_code == 200
    query = {"generation_id": made.json()["generation_id"]}
    assert simulator.http.get(f"{simulator.url}/nanobanana/status", params=query, headers=KEY).status_code == 503


def test_a_prompt_may_break_later_questions(simulator: RunningSimulator) -> None:
    query = {"generation_id": generate(simulator, "http503x2@status").json()["generation_id"]}
    answers = [simulator.http.get(f"{simulator.url}/nanobanana/status", params=query, headers=KEY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]


@pytest.mark.parametrize(("tag", "paid"), [("http502:foreign", 0), ("http504:paid", 1)])
def test_a_proxy_answers_in_place_of_the_provider(simulator: RunningSimulator, tag: str, paid: int) -> None:
    answer = generate(simulator, tag)
    assert str(answer.status_code) == tag[4:7]
    assert "nginx" in answer.text
    assert simulator.bill()["generations"] == paid


@pytest.mark.parametrize(
    ("tag", "paid", "seen"),
    [
        ("drop", 0, CUT),
        ("drop_after_accept", 1, CUT),
        ("hang:unpaid", 0, (httpx.ReadTimeout,)),
        ("hang", 1, (httpx.ReadTimeout,)),
    ],
)
def test_no_answer_comes_and_the_bill_knows_whether_it_was_taken(
    simulator: RunningSimulator, tag: str, paid: int, seen: tuple[type[Exception], ...]
) -> None:
    body = {"prompt": f"A fox [[sim:{tag}]]", "width": 64, "height": 64}
    with pytest.raises(seen):
        simulator.http.post(f"{simulator.url}/nanobanana/generate", json=body, headers=KEY, timeout=0.3)
    assert simulator.bill()["generations"] == paid
    assert [call["status"] for call in simulator.calls()] == [None]


def test_who_leaves_early_got_no_answer(simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="nanobanana", answer_within_s=1000)
    body = {"prompt": "A fox [[sim:slow=400s]]", "width": 64, "height": 64}
    with pytest.raises(httpx.ReadTimeout):
        simulator.http.post(f"{simulator.url}/nanobanana/generate", json=body, headers=KEY, timeout=0.3)
    while (call := simulator.calls()[0])["ended_at"] is None:
        assert len(simulator.calls()) == 1
    assert call["status"] is None


def test_what_never_ends_is_waited_for_until_the_caller_leaves(simulator: RunningSimulator) -> None:
    answer = generate(simulator, "never", Prefer="respond-async")
    simulator.advance(10**9)
    query = {"generation_id": answer.json()["generation_id"]}
    told = simulator.http.get(f"{simulator.url}/nanobanana/status", params=query, headers=KEY).json()
    assert told["status"] == "processing"


def test_slow_work_takes_that_much_longer(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    query = {"generation_id": generate(simulator, "slow=400s").json()["generation_id"]}
    seen = []
    for _ in range(3):
        told = simulator.http.get(f"{simulator.url}/nanobanana/status", params=query, headers=KEY).json()
        seen.append((told["status"], told["progress"]))
        simulator.advance(200)
    assert seen == [("processing", 0), ("processing", 49), ("completed", 100)]


def test_who_waits_is_answered_when_the_clock_is_moved(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="nanobanana", answer_within_s=1000)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(generate, simulator, "slow=400s")
        while not simulator.bill()["lines"]:
            assert not waiting.done()
        simulator.advance(401)
        assert waiting.result(timeout=10).json()["status"] == "completed"


def test_time_can_run_faster(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=1000)
    simulator.post("settings", provider="nanobanana", answer_within_s=1000)
    assert generate(simulator, "slow=400s").json()["inference_time_ms"] == 400_000


def test_a_failure_that_happens_once_is_over_for_the_next_attempt(simulator: RunningSimulator) -> None:
    assert [generate(simulator, "failx1").status_code for _ in range(2)] == [500, 200]
