"""A provider forgets nothing when it falls over; neither does the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from simulator.testing import RunningSimulator

KEY = {"Authorization": "Bearer sim-nanobanana"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningSimulator]:
    """A simulator that a test may end."""
    running = RunningSimulator(tmp_path)
    yield running
    running.stop()


def generate(simulator: RunningSimulator, reference: str) -> Any:
    body = {"prompt": f"A fox for {reference}", "width": 200, "height": 200, "reference_id": reference}
    headers = KEY | {"Idempotency-Key": reference}
    return httpx.post(f"{simulator.url}/nanobanana/generate", json=body, headers=headers).json()


def test_a_killed_simulator_comes_back_with_its_bill_its_work_and_its_links(own: RunningSimulator) -> None:
    own.post("clock", advance_s=86_400)
    own.post("accounts", provider="fal", accounts=[{"key": "other", "name": "other"}])
    made = [generate(own, f"r{number}") for number in range(5)]
    data = httpx.get(made[0]["image_url"]).content
    bill, calls, now = own.bill(), own.calls(), own.get("health")["now"]

    own.kill()
    own.start()

    assert own.bill() == bill
    assert own.calls() == calls
    assert 0 <= own.get("health")["now"] - now < 60
    assert own.get("accounts")["fal"][0]["name"] == "other"
    assert httpx.get(made[0]["image_url"]).content == data
    assert generate(own, "r3")["generation_id"] == made[3]["generation_id"]
    assert own.bill()["lines"] == bill["lines"]


def test_whatever_was_answered_before_a_crash_is_on_the_bill_after_it(own: RunningSimulator) -> None:
    own.post("settings", queued_s=[0, 0], running_s=[0, 0], pictures="stamped")
    answered: list[str] = []

    def submit(reference: str) -> None:
        try:
            answered.append(generate(own, reference)["generation_id"])
        except httpx.TransportError:
            return
        if len(answered) == 20:
            own.kill()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, (f"r{number}" for number in range(60))))
    own.start()

    paid = [line["external_id"] for line in own.bill()["lines"]]
    assert 20 <= len(answered) < 60
    assert set(answered) <= set(paid)
    assert len(paid) == len(set(paid))


def test_a_callback_that_was_owed_is_owed_after_a_crash(own: RunningSimulator) -> None:
    own.post("clock", speed=0)
    url = "http://127.0.0.1:9/hooks/fal/a1/t"
    httpx.post(
        f"{own.url}/fal/fal-ai/flux",
        params={"fal_webhook": url},
        json={"prompt": "A fox"},
        headers={"Authorization": "Key sim-fal"},
    ).raise_for_status()
    own.kill()
    own.start()
    (owed,) = own.get("callbacks")
    assert (owed["url"], owed["done_at"]) == (url, None)


def test_what_draws_ends_with_a_simulator_that_was_killed(own: RunningSimulator) -> None:
    httpx.get(generate(own, "r1")["image_url"])
    helpers = psutil.Process(own.pid).children(recursive=True)
    assert helpers
    own.kill()
    _, alive = psutil.wait_procs(helpers, timeout=10)
    assert alive == []
    own.start()


def test_a_simulator_ends_when_it_is_asked_to_even_while_somebody_waits(own: RunningSimulator) -> None:
    body = {"prompt": "A fox [[sim:hang]]", "width": 200, "height": 200}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{own.url}/nanobanana/generate", json=body, headers=KEY, timeout=0.2)
    own.stop()
    own.start()
    assert own.bill()["generations"] == 1


def test_a_reset_forgets_everything(own: RunningSimulator) -> None:
    made = generate(own, "r1")
    own.fault("http500")
    own.reset()
    assert own.bill()["lines"] == own.calls() == own.get("faults") == []
    assert httpx.get(made["image_url"]).status_code == 403
    assert generate(own, "r1")["generation_id"] != made["generation_id"]
