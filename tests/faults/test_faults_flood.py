"""One tenant asks for a thousand pictures at once: five others wait hardly longer, and everybody has a fair share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import pytest

from tests.faults.flooding import (
    AT_ONCE,
    BULK,
    FLOODED,
    PER_TENANT,
    QUIET_TENANTS,
    RATES,
    SHARED,
    Crowd,
    add_tenants,
    limit,
    most_within,
    percentile,
    submits,
    system,
)
from tests.faults.providers_under_fire import Simulator
from tests.running import Live, until

pytestmark = [pytest.mark.faults, pytest.mark.measured, pytest.mark.timeout(300)]

SECONDS = 20.0
FLOOD = 1000
SHARED_SUBMITS = 180
"""Thirty for each of six tenants."""


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with system(tmp_path_factory.mktemp("flooded")) as live:
        yield live


@pytest.fixture
async def crowd(flooded: Live) -> AsyncIterator[Crowd]:
    assert flooded.info.simulator is not None
    async with httpx.AsyncClient(base_url=flooded.info.gateway, timeout=60, trust_env=False) as http:
        crowd = Crowd(flooded, Simulator(flooded.info.simulator), http)
        await limit(crowd.simulator)
        yield crowd


async def test_a_thousand_jobs_of_one_tenant_hardly_delay_those_of_five_others(crowd: Crowd) -> None:
    tenants = await add_tenants(crowd.live, QUIET_TENANTS)
    [flooder] = await add_tenants(crowd.live, 1)
    await crowd.waits(await crowd.quiet(tenants, 3))

    before = await crowd.quiet(tenants, SECONDS)
    await crowd.waits(before)
    flooding = asyncio.create_task(crowd.flood(flooder, FLOOD))
    asked = await crowd.quiet(tenants, SECONDS)
    await flooding
    of_flooder = await crowd.completed(flooder)
    beside = await crowd.waits(asked)
    await crowd.silence(flooder)
    # What else this machine does changes meanwhile: alone is before and after.
    alone = await crowd.waits([*before, *await crowd.quiet(tenants, SECONDS)])
    for name, waits in {"alone": alone, "beside the flood": beside}.items():
        figures = ", ".join(f"p{part} {percentile(waits, part / 100):.2f} s" for part in (50, 90, 99))
        print(f"{name}: {len(waits)} jobs, {figures}")
    print(f"the flooder: {of_flooder} of {FLOOD} jobs meanwhile, a quiet tenant: {len(asked) // QUIET_TENANTS}")

    assert of_flooder < FLOOD, "the flood was over before the quiet tenants were"
    assert percentile(beside, 0.99) <= 2 * percentile(alone, 0.99)
    assert of_flooder >= len(asked) // QUIET_TENANTS
    await nothing_was_throttled(crowd, FLOODED)


async def test_tenants_who_all_want_more_than_there_is_get_the_same(crowd: Crowd) -> None:
    tenants = await add_tenants(crowd.live, QUIET_TENANTS + 1)
    await asyncio.gather(*(crowd.flood(tenant, BULK, [SHARED]) for tenant in tenants))
    await until(lambda: crowd.all_wait(tenants, BULK), "not every job waits for its turn", within=60)
    # Work that got its turn before the last tenant came may not be in the log yet.
    before = len(await submits(crowd.simulator, SHARED)) + AT_ONCE[SHARED]

    async def look() -> bool:
        # The last ones are under way: it is not in the log yet whose they are.
        return len(await submits(crowd.simulator, SHARED)) > before + SHARED_SUBMITS + AT_ONCE[SHARED]

    await until(look, "too little is submitted", within=60)
    assert await crowd.all_wait(tenants, BULK, left=1), "a tenant had nothing left to wait for"
    calls = (await submits(crowd.simulator, SHARED))[before : before + SHARED_SUBMITS]
    shares = Counter(call["tenant"] for call in calls)
    print(f"of {SHARED_SUBMITS} submits: {sorted(shares.values())}")
    fair = SHARED_SUBMITS / len(tenants)
    assert len(shares) == len(tenants)
    assert all(abs(share - fair) <= 0.1 * fair for share in shares.values()), shares
    await nothing_was_throttled(crowd, [SHARED])


async def nothing_was_throttled(crowd: Crowd, providers: Sequence[str]) -> None:
    """The simulator refused nothing, and counted no more at once than its accounts and each tenant may have (R81)."""
    peaks = (await crowd.simulator.get("counters"))["peaks"]
    for provider in providers:
        calls = await submits(crowd.simulator, provider)
        assert calls
        assert [call for call in calls if call["status"] is not None and call["status"] >= 400] == []
        if provider in AT_ONCE:
            assert peaks["provider"][provider] == AT_ONCE[provider], "the limit is used whole, and kept"
        if provider in RATES:
            requests, per_s = RATES[provider]
            assert most_within([call["at"] for call in calls], per_s) <= requests
    of_tenants = {name: peak for name, peak in peaks["tenant"].items() if name.partition("/")[0] in providers}
    print(f"peaks: {peaks['provider']}, of one tenant: {max(of_tenants.values())}")
    assert max(of_tenants.values()) <= PER_TENANT
