"""What all of us may ask of one provider at once, and what happens while it refuses: the same for every replica."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.ids import uuid7
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import GenerationRequest, ProviderError, Status
from provider_worker.app import pools_of
from provider_worker.routing import Account, RouteTable, Use
from schemas.events import GenerationCompleted, GenerationFailed, GenerationQuoted, GenerationStarted
from schemas.parts import ErrorCode
from tests.worker_builders import Home, Painter, Worker, envelope, home_at, prepared, table

pytestmark = pytest.mark.integration

DOWN = ProviderError(ProviderCode.TEMPORARY, "painter is down")
NO_KEY = ProviderError(ProviderCode.AUTH_ERROR, "the key is not valid", scope="account")
NO_MONEY = ProviderError(ProviderCode.QUOTA_EXCEEDED, "no credits are left", scope="account")
BOTH = table(Use("painter", "paint-1"), Use("second", "paint-1"))


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


class Counting(Painter):
    """Knows how many of its calls ran at the same time, and which tenants they were for."""

    running = peak = 0

    async def submit(self, req: GenerationRequest, plan: object) -> Status:
        self.running += 1
        self.peak = max(self.peak, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        self.calls.append(req.tenant_id)
        return self.make(req)


class Refusing(Painter):
    """Refuses with `error` for as long as there is one."""

    error: ProviderError | None = None

    async def submit(self, req: GenerationRequest, plan: object) -> Status:
        self.calls.append(req.request_id)
        if self.error is not None:
            raise replace(self.error)
        return self.make(req)


def limited(account: Account, routes: RouteTable | None = None) -> RouteTable:
    return replace(routes or table(per_tenant=50), accounts={"painter": account})


async def asked_for(here: Worker, items: int, tenants: int = 1) -> None:
    await here.hear(*(envelope(prepared(items), tenant_id=uuid7()) for _ in range(tenants)))
    await here.reserve()


async def reopened(home: Home) -> None:
    """The time of an open breaker has passed."""
    await home.rows("UPDATE accounts SET opened_until = now() - interval '1 ms'")
    await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'waiting'")


async def test_many_replicas_never_have_more_jobs_at_a_provider_than_its_account_may(home: Home) -> None:
    painter = Counting()
    workers = [home.worker(painter, routes=limited(Account(concurrency=3)), hands=20) for _ in range(4)]
    await asked_for(workers[0], items=10, tenants=4)
    await asyncio.gather(*(here.work() for here in workers))
    await workers[0].finish(rounds=100)
    assert painter.peak == 3
    assert len(await home.said(GenerationCompleted)) == 40


async def test_an_accounts_room_goes_round_among_the_tenants(home: Home) -> None:
    painter = Counting()
    here = home.worker(painter, routes=limited(Account(concurrency=2)))
    await asked_for(here, items=12, tenants=4)
    await here.work()
    await here.finish(rounds=100)
    first = painter.calls[:24]
    assert max(first.count(tenant) for tenant in set(painter.calls)) <= 8
    assert len(set(first)) == 4


async def test_each_tenant_has_its_first_task_before_any_has_its_second(home: Home) -> None:
    here = home.worker(Counting(), routes=limited(Account(concurrency=4)))
    await asked_for(here, items=12, tenants=4)
    claimed = await here.store.claim(pools_of(table(per_tenant=50)), 40, 30.0)
    assert sorted(Counter(task.job.tenant_id for task in claimed.tasks).values()) == [1, 1, 1, 1]


async def test_no_more_calls_go_out_than_the_bucket_holds_however_many_replicas_ask(home: Home) -> None:
    painter = Counting()
    workers = [home.worker(painter, routes=limited(Account(burst=5.0, per_s=0.001))) for _ in range(3)]
    await asked_for(workers[0], items=20, tenants=2)
    await asyncio.gather(*(here.work() for here in workers))
    assert len(painter.calls) == 5
    await home.rows("UPDATE accounts SET tokens = 3")
    await workers[1].work()
    assert len(painter.calls) == 8


async def test_a_bucket_fills_with_time_and_never_beyond_its_brim(home: Home) -> None:
    painter = Counting()
    here = home.worker(painter, routes=limited(Account(burst=4.0, per_s=2.0)))
    await asked_for(here, items=20)
    await here.work()
    sent = len(painter.calls)
    await home.rows("UPDATE accounts SET tokens = 0, refilled_at = now() - interval '1 hour'")
    await here.claimer.step(here.tools)
    await asyncio.wait([held.work for held in here.leases._held.values()])
    assert len(painter.calls) == sent + 4


async def test_after_five_failures_in_a_row_nobody_calls_until_one_call_has_gone_well(home: Home) -> None:
    painter = Refusing()
    painter.error = DOWN
    routes = table(per_tenant=50, waits=())
    here, other = home.worker(painter, routes=routes), home.worker(painter, routes=routes)
    await asked_for(here, items=5)
    await here.work()
    assert len(painter.calls) == 5

    await asked_for(here, items=4)
    await other.work()
    assert len(painter.calls) == 5
    assert [row.state for row in await home.rows("SELECT state FROM tasks ORDER BY id OFFSET 5")] == ["waiting"] * 4

    await reopened(home)
    await other.upkeep.revive()
    await other.claimer.step(other.tools)
    await asyncio.wait([held.work for held in other.leases._held.values()])
    assert len(painter.calls) == 6

    painter.error = None
    await reopened(home)
    await home.rows("UPDATE turns SET waiting = true")
    await here.health.refresh()
    await here.finish(rounds=100)
    assert len(await home.said(GenerationCompleted)) == 3
    assert not await home.rows("SELECT 1 FROM accounts WHERE failures > 0 OR opened_until IS NOT NULL")


async def test_what_waits_behind_the_one_call_after_an_open_breaker_waits_seconds_however_long_it_takes(
    home: Home,
) -> None:
    painter, answer = Painter(), asyncio.Event()

    async def slowly(req: GenerationRequest) -> Status:
        await answer.wait()
        return painter.make(req)

    painter.answer = slowly
    here = home.worker(painter, routes=table(per_tenant=50))
    await asked_for(here, items=3)
    for _ in range(5):
        await here.store.provider_failed("painter", ErrorCode.TEMPORARY, "painter is down", None)
    await here.health.refresh()
    await reopened(home)
    await here.claimer.step(here.tools)
    await here.claimer.step(here.tools)
    first, *behind = [held.work for held in here.leases._held.values()]
    await asyncio.wait(behind)
    waits = await home.rows("SELECT extract(epoch FROM next_at - now()) AS s FROM tasks WHERE state = 'waiting'")
    assert len(waits) == 2
    assert all(0 < wait.s <= 1.2 * 5 for wait in waits)
    answer.set()
    await first
    await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'waiting'")
    await here.finish(rounds=100)
    assert len(await home.said(GenerationCompleted)) == 3


async def test_a_request_that_fails_again_and_again_keeps_no_breaker_open(home: Home) -> None:
    painter = Painter()
    poison: list[str] = []

    async def unless_poison(req: GenerationRequest) -> Status:
        poison.append(req.request_id)
        if req.request_id == poison[0]:
            raise replace(DOWN)
        return painter.make(req)

    painter.answer = unless_poison
    here = home.worker(painter)
    await asked_for(here, items=1)
    await here.work()
    for _ in range(5):
        await here.store.provider_failed("painter", ErrorCode.TEMPORARY, "painter is down", None)
    await asked_for(here, items=1)
    await here.work()
    await reopened(home)
    await home.rows("UPDATE tasks SET next_at = now() + interval '1 hour' WHERE calls = 0")
    await here.upkeep.revive()
    await here.work()
    assert poison == [poison[0]] * 2

    await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'waiting'")
    await here.upkeep.revive()
    await here.work()
    assert len(await home.said(GenerationCompleted)) == 1


async def test_requests_that_failed_elsewhere_keep_no_breaker_open(home: Home) -> None:
    first, second = Refusing(), Refusing(name="second")
    first.error = second.error = DOWN
    routes = table(Use("painter", "paint-1"), Use("second", "paint-1"), per_tenant=50, waits=())
    here = home.worker(first, second, routes=routes)
    await asked_for(here, items=4)
    for _ in range(5):
        await here.store.provider_failed("second", ErrorCode.TEMPORARY, "it is down", None)
    await reopened(home)
    await here.health.refresh()
    await here.finish(rounds=100)
    assert len(await home.said(GenerationFailed)) == 4
    assert len(second.calls) == 4
    assert not await home.rows("SELECT 1 FROM accounts WHERE provider = 'second' AND opened_until > now()")


async def test_one_failure_among_others_that_go_well_opens_nothing(home: Home) -> None:
    painter = Refusing()
    here = home.worker(painter, routes=table(waits=()))
    for _ in range(6):
        painter.error = DOWN
        await asked_for(here, items=1)
        await here.work()
        painter.error = None
        await asked_for(here, items=1)
        await here.work()
    assert len(painter.calls) == 12


@pytest.mark.parametrize("error", [NO_KEY, NO_MONEY], ids=["key", "money"])
async def test_an_account_that_is_refused_is_not_asked_again_and_jobs_fall_back_or_fail_at_once(
    home: Home, error: ProviderError
) -> None:
    painter = Refusing()
    painter.error = error
    here = home.worker(painter)
    await asked_for(here, items=1)
    await here.finish()
    await asked_for(here, items=3)
    await here.finish()
    assert len(painter.calls) == 1
    failures = await home.said(GenerationFailed)
    assert [failed.code for failed in failures] == [ErrorCode(error.code)] * 4
    assert all(failed.message == error.message for failed in failures)
    assert all(failed.billing.state == "none" for failed in failures)


async def test_what_was_quoted_at_a_closed_provider_is_made_by_the_next_one(home: Home) -> None:
    painter, second = Refusing(), Painter(name="second")
    painter.error = NO_KEY
    here = home.worker(painter, second, routes=replace(BOTH, fallback_on=frozenset({*BOTH.fallback_on})))
    await asked_for(here, items=1)
    await asked_for(here, items=1)
    await here.work()
    await asked_for(here, items=1)
    await here.finish()
    assert len(await home.said(GenerationCompleted)) == 3
    assert len(painter.calls) <= 2


async def test_new_jobs_are_quoted_where_the_breaker_is_closed(home: Home) -> None:
    painter, second = Refusing(), Painter(name="second")
    painter.error = NO_KEY
    here, other = (home.worker(painter, second, routes=BOTH) for _ in range(2))
    await asked_for(here, items=1)
    await here.work()
    await other.health.refresh()
    await asked_for(other, items=1)
    quotes = await home.said(GenerationQuoted)
    assert [quote.items[0].provider for quote in quotes] == ["painter", "second"]


async def test_a_provider_that_says_when_is_left_alone_by_everybody_until_then(home: Home) -> None:
    painter = Refusing()
    painter.error = ProviderError(ProviderCode.RATE_LIMIT, "slow down", retry_after=30.0, scope="account")
    here, other = home.worker(painter), home.worker(painter)
    await asked_for(here, items=1)
    await here.work()
    painter.error = None
    await asked_for(here, items=3, tenants=2)
    await other.work()
    assert len(painter.calls) == 1
    waits = await home.rows("SELECT extract(epoch FROM next_at - now()) AS seconds, calls FROM tasks ORDER BY id")
    assert all(row.seconds > 25 for row in waits)
    assert [row.calls for row in waits] == [1, *[0] * 6]


async def test_a_full_queue_at_the_provider_costs_no_call_of_the_attempt(home: Home) -> None:
    painter = Refusing()
    painter.error = ProviderError(ProviderCode.RATE_LIMIT, "no more tasks", scope="queue")
    here = home.worker(painter, routes=table(waits=(0.01,)))
    await asked_for(here, items=1)
    for _ in range(6):
        await here.work()
        await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'waiting'")
        await here.upkeep.revive()
    painter.error = None
    await here.work()
    assert len(painter.calls) == 7
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(await home.said(GenerationStarted)) == 1
