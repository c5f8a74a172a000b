"""Providers that go wrong on every third call, processes that are killed every two seconds: the books agree.

`pytest tests/faults/test_faults_providers.py --fire-jobs 2000` is the long run.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.providers_under_fire import LIMITS, WIRES, Fire, Simulator, system

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]

PER_TENANT = {"image": 5, "texture": 5, "video": 2, "sfx": 2, "music": 2, "model_3d": 2}


async def test_whatever_goes_wrong_every_job_ends_and_the_ledger_says_what_the_providers_say(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with system(tmp_path) as live:
        origin = live.info.simulator
        assert origin is not None
        fire = Fire(live, Simulator(origin), jobs=pytestconfig.getoption("--fire-jobs"), kill_every_s=2.0)
        await fire.simulator.prepare()
        await fire.add_tenants()
        try:
            await fire.burn()
            await fire.all_end()
            flagged = await fire.operate()
            await fire.told_and_settled()
        finally:
            print(f"kills: {dict(fire.kills)}; ends: {dict(await fire.words())}")
        assert len(set(fire.accepted.values())) == fire.jobs
        assert sum(fire.kills.values()) > 0
        assert {bill["code"] for bill in flagged} <= {"SUBMIT_UNKNOWN", "TIMEOUT", "CANCELLED"}
        await nothing_is_paid_twice(fire)
        await no_limit_was_passed(fire)
        await the_books_agree(fire)


async def nothing_is_paid_twice(fire: Fire) -> None:
    """An attempt has one paid job at its provider; at Meshy a finished first phase has one second phase."""
    attempts = await fire.live.rows(
        "provider-worker", "SELECT attempt_id::text AS id, job_id::text AS job FROM attempts"
    )
    marks = {job: mark for mark, job in fire.accepted.items()}
    allowed = Counter(f"job-{marks[attempt['job']]}" for attempt in attempts)
    allowed.update(attempt["id"] for attempt in attempts)
    paid: dict[tuple[str, str], set[str]] = {}
    for line in (await fire.simulator.get("bill"))["lines"]:
        paid.setdefault((line["provider"], line["reference"]), set()).add(line["external_id"])
    first_phases = {generation for (provider, _), found in paid.items() if provider == "meshy" for generation in found}
    allowed.update(first_phases - set(allowed))
    for (provider, reference), found in paid.items():
        assert len(found) <= allowed[reference], f"{provider} was paid {len(found)} times for {reference}"


async def no_limit_was_passed(fire: Fire) -> None:
    """By the simulator's own count; some wires carry a name for the tenant that is not ours."""
    peaks = (await fire.simulator.get("counters"))["peaks"]
    for provider, most in LIMITS.items():
        wire = WIRES.get(provider, provider)
        assert peaks["provider"].get(wire, 0) <= most, f"{provider} had {peaks['provider'][wire]} jobs at once"
    for name, peak in peaks["tenant"].items():
        wire, _, _ = name.partition("/")
        most = sum(PER_TENANT[kind] for kind in KINDS_OF.get(wire, ("image", "texture")))
        assert peak <= most, f"{name} had {peak} jobs at once"


KINDS_OF = {
    "elevenlabs": ("sfx", "music"),
    "sunoapi": ("music",),
    "meshy": ("model_3d",),
    "veo": ("video",),
    "gemini_interactions": ("video", "music"),
}


async def the_books_agree(fire: Fire) -> None:
    captured = await fire.live.value("cost-ledger", "SELECT coalesce(sum(captured_micros), 0)::bigint FROM budget")
    bill = await fire.simulator.get("bill")
    attempts = await fire.live.rows(
        "provider-worker",
        "SELECT provider, sum(amount_micros)::bigint AS amount FROM attempts WHERE billing = 'final' GROUP BY 1",
    )
    ours = {WIRES.get(row["provider"], row["provider"]): row["amount"] for row in attempts}
    theirs = {one["provider"]: one["amount_micros"] for one in bill["sums"]}
    differing = {name for name in ours.keys() | theirs.keys() if ours.get(name, 0) != theirs.get(name, 0)}
    assert not differing, await _lines_of(fire, differing)
    assert captured == bill["amount_micros"]


async def _lines_of(fire: Fire, differing: set[str]) -> str:
    """What both sides say of every job at these providers, one line each."""
    attempts = await fire.live.rows("provider-worker", "SELECT * FROM attempts ORDER BY intent_at")
    lines = (await fire.simulator.get("bill"))["lines"]
    marks = {job: mark for mark, job in fire.accepted.items()}
    return "\n".join(
        [
            *(
                f"ours, job-{marks[str(row['job_id'])]}: {dict(row)}"
                for row in attempts
                if WIRES.get(row["provider"], row["provider"]) in differing
            ),
            *(f"theirs: {line}" for line in lines if line["provider"] in differing),
        ]
    )
