"""A worker that dies at every step of the way to a provider and back, at providers of every kind there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from provider_worker.routing import KindRoute, RouteTable, Use
from schemas.events import GenerationCompleted, GenerationFailed
from schemas.parts import ErrorCode, Kind
from simulator.environment import environment
from simulator.testing import RunningSimulator
from simulator.wires import WIRES
from tests.worker_builders import Home, Painter, envelope, home_at, item, prepared, table
from tests.worker_child import run_child

pytestmark = pytest.mark.integration

STEPS = ("intent", "submit", "reference", "poll", "stage", "keep", "finish")
CRASH = 137


@dataclass(frozen=True)
class Case:
    """A provider, the steps on the way to it, and at which of them nobody can say afterwards whether it was called.

    `phases`: how many paid calls an attempt makes.
    """

    provider: str
    steps: tuple[str, ...]
    lost: frozenset[str] = frozenset()
    kind: Kind = Kind.IMAGE
    phases: int = 1

    @property
    def points(self) -> list[str]:
        return [f"worker.{side}_{step}" for step in self.steps for side in ("before", "after")]


SYNC = tuple(step for step in STEPS if step not in {"reference", "poll"})
UNTIL_SENT = frozenset({"worker.after_intent", "worker.before_submit", "worker.after_submit"})
CASES = [
    Case("nanobanana", STEPS),
    # They keep no list and know no reference of ours: what they were sent and did not answer is for an operator.
    Case("fal", STEPS, UNTIL_SENT | {"worker.before_reference"}),
    Case("openai", SYNC, UNTIL_SENT | {"worker.before_stage", "worker.after_stage", "worker.before_keep"}),
    # What is not in the list has not been taken; but nothing there says so for certain.
    Case("replicate", STEPS, frozenset({"worker.after_intent", "worker.before_submit"})),
    Case(
        "meshy",
        (*STEPS, "phase"),
        frozenset({"worker.after_intent", "worker.before_submit", "worker.after_phase"}),
        Kind.MODEL_3D,
        phases=2,
    ),
]


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


def wanted(case: Case, number: int) -> Any:
    """One item, unlike all others: a wire without references is judged by its requests."""
    pixels = {"width": 640, "height": 480} if case.kind is Kind.IMAGE else {"width": 0, "height": 0}
    form = "png" if case.kind is Kind.IMAGE else "glb"
    return item(prompt=f"a red fox, take {number}", kind=case.kind, format=form, **pixels)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.provider)
async def test_killed_at_every_step_it_pays_once_and_says_what_it_cannot_know(
    home: Home, tmp_path: Path, simulator: RunningSimulator, case: Case
) -> None:
    """One process dies at a step of an item's way, and another one takes the item up."""
    simulator.post("settings", queued_s=[0, 0], running_s=[0.1, 0.2], answer_within_s=0.05)
    outside = home.worker(Painter(case.provider), routes=only(case))
    arguments = [home.dsn, str(tmp_path / "objects"), str(tmp_path / "sandbox"), case.provider]
    keys = environment(WIRES, simulator.url)
    for number, point in enumerate(case.points):
        await outside.hear(envelope(prepared([wanted(case, number)])))
        assert await run_child(arguments, keys, point) == CRASH, point
        await home.rows("UPDATE tasks SET lease_until = now() WHERE lease_until IS NOT NULL")
        assert await run_child(arguments, keys) == 0
        [row] = await home.rows("SELECT state, attempt_id FROM tasks ORDER BY id DESC LIMIT 1")
        assert row.state == ("failed" if point in case.lost else "completed"), point

    unknown = await home.said(GenerationFailed)
    assert [(failed.code, failed.billing.state) for failed in unknown] == [(ErrorCode.SUBMIT_UNKNOWN, "pending")] * len(
        case.lost
    )
    bill = simulator.bill()
    assert not bill["paid_more_than_once"]
    assert not bill["same_requests"]
    charges = {line["external_id"]: line["amount_micros"] for line in bill["lines"]}
    assert len(charges) == len(bill["lines"])
    made = await home.said(GenerationCompleted)
    assert len(made) == len(case.points) - len(case.lost)
    assert len(made) * case.phases <= len(charges) <= len(case.points) * case.phases
    for event in made:
        assert (await home.objects.stat(event.outputs[0].staged_key)).size == event.outputs[0].size


def only(case: Case) -> RouteTable:
    """Routes that lead to this provider alone."""
    return replace(table(), routes={case.kind: KindRoute(case.kind, (Use(case.provider, "m"),), 5, 60.0, 0.05)})
