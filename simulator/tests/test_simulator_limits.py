"""What an account may do: credits, rate, unfinished work, places; and what is counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from simulator.counting import peak
from simulator.testing import RunningSimulator


def allow(simulator: RunningSimulator, provider: str = "nanobanana", **limits: Any) -> None:
    account = {"key": f"sim-{provider}", "name": "limited", **limits}
    simulator.post("accounts", provider=provider, accounts=[account, {"key": "second", "name": "second"}])


def generate(simulator: RunningSimulator, key: str = "sim-nanobanana", **headers: str) -> httpx.Response:
    body = {"prompt": "A fox", "width": 64, "height": 64}
    headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async", **headers}
    return simulator.http.post(f"{simulator.url}/nanobanana/generate", json=body, headers=headers)


def test_credits_run_out_to_the_last_one(simulator: RunningSimulator) -> None:
    allow(simulator, credits_micros=3 * 39_000)
    assert [generate(simulator).status_code for _ in range(5)] == [202, 202, 202, 402, 402]
    assert simulator.bill()["amount_micros"] == 3 * 39_000
    assert generate(simulator, "second").status_code == 202


def test_credits_hold_when_all_ask_at_once(simulator: RunningSimulator) -> None:
    allow(simulator, credits_micros=10 * 39_000)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: generate(simulator).status_code, range(40)))
    assert statuses.count(202) == 10
    assert simulator.bill()["amount_micros"] == 10 * 39_000


def test_a_rate_is_held_by_the_simulated_clock(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    allow(simulator, rate={"requests": 2, "per_s": 60})
    assert [generate(simulator).status_code for _ in range(2)] == [202, 202]
    simulator.advance(20)
    refused = generate(simulator)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    simulator.advance(40)
    assert generate(simulator).status_code == 202


def test_a_refused_request_uses_up_nothing_of_the_rate(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    allow(simulator, rate={"requests": 1, "per_s": 60})
    simulator.fault("http500", endpoint="submit", count=3)
    assert [generate(simulator).status_code for _ in range(5)] == [500, 500, 500, 202, 429]


def test_an_account_may_have_so_much_unfinished(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="nanobanana", running_s=[10, 10])
    allow(simulator, max_unfinished=2)
    assert [generate(simulator).status_code for _ in range(3)] == [202, 202, 429]
    simulator.advance(10)
    assert generate(simulator).status_code == 202


def test_what_finds_no_place_waits_its_turn(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="nanobanana", running_s=[10, 10])
    allow(simulator, max_running=2)
    made = [generate(simulator).json()["generation_id"] for _ in range(5)]

    def states() -> list[str]:
        headers = {"Authorization": "Bearer sim-nanobanana"}
        answers = (
            simulator.http.get(f"{simulator.url}/nanobanana/status", params={"generation_id": one}, headers=headers)
            for one in made
        )
        return [answer.json()["status"] for answer in answers]

    seen = []
    for _ in range(4):
        seen.append(states())
        simulator.advance(10)
    assert [[states.count(one) for one in ("completed", "processing", "queued")] for states in seen] == [
        [0, 2, 3],
        [2, 2, 1],
        [4, 1, 0],
        [5, 0, 0],
    ]


def test_peaks_are_told_by_provider_account_and_tenant(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="nanobanana", running_s=[10, 10])
    allow(simulator)
    for key, tenant in (("sim-nanobanana", "a"), ("sim-nanobanana", "a"), ("second", "b")):
        generate(simulator, key, **{"X-Sim-Tenant": tenant})
    simulator.advance(10)
    generate(simulator, "second", **{"X-Sim-Tenant": "b"})

    assert simulator.get("counters")["peaks"] == {
        "provider": {"nanobanana": 3},
        "account": {"nanobanana/limited": 2, "nanobanana/second": 1},
        "tenant": {"nanobanana/a": 2, "nanobanana/b": 1},
    }


def test_requests_that_are_answered_at_once_overlap_as_they_did(simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="nanobanana", running_s=[0.4, 0.4])
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: generate(simulator, Prefer="wait"), range(5)))
    assert simulator.get("counters")["peaks"]["provider"] == {"nanobanana": 5}


@pytest.mark.parametrize(
    ("spans", "most"),
    [([], 0), ([(0, 1), (1, 2)], 1), ([(0, 2), (1, 3), (1, 1)], 3), ([(0, 1e18), (5, 6), (7, 8)], 2)],
)
def test_a_peak_is_the_most_that_overlap(spans: list[tuple[float, float]], most: int) -> None:
    assert peak(spans) == most


def test_an_account_of_an_unknown_provider_is_refused(simulator: RunningSimulator) -> None:
    assert "no provider" in simulator.refused("accounts", provider="nobody", accounts=[])
