"""Leases, turns and caps on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from chassis.ids import uuid7
from provider_worker.adapters.interface import GenerationRequest, Status
from provider_worker.engine.ports import LeaseLost
from provider_worker.tasks import Await, Finished, Keep, Made, Piece, Pool, Reference, Staged, Written
from schemas.events import GenerationCompleted, GenerationStarted
from schemas.parts import Billing
from tests.worker_builders import Home, Painter, envelope, home_at, prepared, table

pytestmark = pytest.mark.integration

POOLS = [Pool("painter/image", "painter", 5, 60.0)]
STAGED = Staged((Piece(0, "primary", "staging/a/b/0", "0" * 64, 1),), Billing(state="final", amount_micros=1), "job-1")


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


class Crowd(Painter):
    """Counts how many pictures it makes at the same time for each tenant, and in which order tenants were done."""

    def __init__(self) -> None:
        super().__init__()
        self.running: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.served: list[str] = []

    async def submit(self, req: GenerationRequest, plan: object) -> Status:
        self.running[req.tenant_id] += 1
        self.peak[req.tenant_id] = max(self.peak[req.tenant_id], self.running[req.tenant_id])
        await asyncio.sleep(0.01)
        self.running[req.tenant_id] -= 1
        self.served.append(req.tenant_id)
        return self.make(req)


async def test_four_claimers_never_pass_a_tenants_cap_and_serve_all_fairly(home: Home) -> None:
    crowd = Crowd()
    workers = [home.worker(crowd, hands=24) for _ in range(4)]
    flooder, quiet = uuid7(), [uuid7() for _ in range(10)]
    await workers[0].hear(envelope(prepared(300), tenant_id=flooder))
    await workers[0].hear(*(envelope(prepared(8), tenant_id=tenant) for tenant in quiet))
    await workers[0].reserve()

    await asyncio.gather(*(here.work() for here in workers))
    # Steps that freed a slot while a claimer was asleep have no loop to wake here.
    await workers[0].finish()

    assert max(crowd.peak.values()) == 5
    assert len(await home.said(GenerationCompleted)) == len(crowd.served) == 380
    assert len(await home.said(GenerationStarted)) == 380
    last_quiet = max(at for at, tenant in enumerate(crowd.served) if tenant != str(flooder))
    assert crowd.served[:last_quiet].count(str(flooder)) <= 60
    assert sum(crowd.bill.values()) == 380 * crowd.price


async def test_a_cap_of_a_tenant_can_be_set_apart(home: Home) -> None:
    crowd = Crowd()
    here = home.worker(crowd)
    tenant = uuid7()
    await here.hear(envelope(prepared(10), tenant_id=tenant))
    await home.rows("INSERT INTO turns (pool, tenant_id, cap) VALUES ('painter/image', :tenant, 2)", tenant=tenant)
    await here.finish()
    assert crowd.peak[str(tenant)] == 2


async def test_every_tenant_gets_its_share_of_the_free_hands(home: Home) -> None:
    here = home.worker(routes=table(per_tenant=100))
    tenants = [uuid7() for _ in range(4)]
    await here.hear(*(envelope(prepared(50), tenant_id=tenant) for tenant in tenants))
    await here.reserve()
    claimed = await here.store.claim([replace(POOLS[0], cap=100)], 40, 30.0)
    assert Counter(task.job.tenant_id for task in claimed.tasks) == dict.fromkeys(tenants, 10)


async def test_slots_of_an_expired_lease_go_to_whoever_looks_its_calls_up(home: Home) -> None:
    """The provider may be at work on them: others would be too many at once."""
    here = home.worker()
    await here.hear(envelope(prepared(12)))
    await here.reserve()
    first = (await here.store.claim(POOLS, 20, 30.0)).tasks
    assert len(first) == 5
    assert not (await here.store.claim(POOLS, 20, 30.0)).tasks
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 s' WHERE state = 'leased'")
    assert not (await here.store.claim(POOLS, 20, 30.0)).tasks
    assert (await here.store.revive()).expired == 5
    again = (await here.store.claim(POOLS, 20, 30.0)).tasks
    assert [task.id for task in again] == [task.id for task in first]
    assert all(task.resuming for task in again)


async def test_a_staged_item_holds_no_slot(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(prepared(6)))
    await here.reserve()
    tasks = (await here.store.claim(POOLS, 20, 30.0)).tasks
    assert not (await here.store.claim(POOLS, 20, 30.0)).tasks
    assert await here.store.write(Keep(tasks[0], STAGED)) is Written.APPLIED
    assert len((await here.store.claim(POOLS, 20, 30.0)).tasks) == 1


async def test_the_write_of_a_paused_holder_is_refused(home: Home) -> None:
    painter = Painter()
    paused, awake = home.worker(painter), home.worker(painter)
    await paused.hear(envelope(prepared()))
    await paused.reserve()
    [old] = (await paused.store.claim(POOLS, 1, 30.0)).tasks
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 s'")
    await awake.finish()

    finished = Finished((Made(STAGED.pieces[0], "image/png", STAGED.pieces[0].sha256, 64, 32),))
    for step in (
        Keep(old, STAGED),
        Await(old, 1.0, Reference("x")),
        paused.tools.endings.completed(old, STAGED, finished),
    ):
        assert await paused.store.write(step) is Written.LOST
    assert len(await home.said(GenerationCompleted)) == 1
    assert sum(painter.bill.values()) == painter.price


async def test_a_holder_that_slept_past_its_lease_sends_nothing(home: Home) -> None:
    painter = Painter(idempotency="none")
    here = home.worker(painter, lease_s=0.05)
    await here.hear(envelope(prepared()))
    await here.reserve()
    [task] = (await here.store.claim(POOLS, 1, 0.05)).tasks
    here.leases.take(task, here.leases.now() - 1.0, asyncio.current_task())  # type: ignore[arg-type]
    assert not here.leases.is_ours(task)
    with pytest.raises(LeaseLost):
        await here.tools.production.produce(task, _unexpected)
    assert not painter.calls
    here.leases.drop(task)


async def test_a_lease_is_renewed_while_a_call_is_long(home: Home) -> None:
    painter = Painter()
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def long_call(req: GenerationRequest) -> Status:
        under_way.set()
        await go_on.wait()
        return painter.make(req)

    painter.answer = long_call
    here = home.worker(painter, lease_s=5.0)
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.claimer.step(here.tools)
    await under_way.wait()
    [before] = await home.rows("SELECT lease_until FROM tasks")
    await here.leases.renew()
    [after] = await home.rows("SELECT lease_until FROM tasks")
    assert after.lease_until > before.lease_until
    go_on.set()
    await here.work()
    assert len(await home.said(GenerationCompleted)) == 1


async def test_the_work_of_a_lost_lease_is_ended(home: Home) -> None:
    painter = Painter()

    async def endless(req: GenerationRequest) -> Status:
        await asyncio.Event().wait()
        raise AssertionError

    painter.answer = endless
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.claimer.step(here.tools)
    await home.rows("UPDATE tasks SET epoch = epoch + 1")
    [work] = [held.work for held in here.leases._held.values()]
    await here.leases.renew()
    await asyncio.wait([work])
    assert work.cancelled()
    assert not len(here.leases)


async def test_what_is_handed_back_is_looked_up_before_it_is_sent_again(home: Home) -> None:
    painter = Painter(idempotency="none")
    taken = asyncio.Event()

    async def taken_and_slow(req: GenerationRequest) -> Status:
        status = painter.make(req)
        taken.set()
        await asyncio.sleep(30)
        return status

    painter.answer = taken_and_slow
    leaving, staying = home.worker(painter), home.worker(painter)
    await leaving.hear(envelope(prepared()))
    await leaving.reserve()
    await leaving.claimer.step(leaving.tools)
    await taken.wait()
    await leaving.leases.release(0.01)
    await staying.finish()
    assert len(painter.calls) == 1
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(await home.said(GenerationStarted)) == 1


async def test_a_process_that_ends_waits_for_the_one_answer_that_nobody_could_have_again(home: Home) -> None:
    painter = Painter(idempotency="none")
    taken, answers = asyncio.Event(), asyncio.Event()

    async def slow(req: GenerationRequest) -> Status:
        status = painter.make(req)
        taken.set()
        await answers.wait()
        return status

    painter.answer = slow
    leaving = home.worker(painter)
    await leaving.hear(envelope(prepared()))
    await leaving.reserve()
    await leaving.claimer.step(leaving.tools)
    await taken.wait()
    ending = asyncio.create_task(leaving.leases.release(0.01, leaving.tools.production.calling))
    await asyncio.wait([ending], timeout=0.2)
    assert not ending.done()
    answers.set()
    await ending
    assert len(await home.said(GenerationCompleted)) == 1


async def test_a_claim_waits_for_no_event_handler(home: Home) -> None:
    """A handler that holds some tasks' rows delays the others by nothing."""
    here = home.worker(routes=table(per_tenant=50))
    await here.hear(envelope(prepared(4)))
    await here.reserve()
    pools = [replace(POOLS[0], cap=50)]
    async with home.engine.begin() as conn:
        await conn.execute(text("SELECT 1 FROM tasks WHERE item = 1 FOR UPDATE"))
        claimed = await asyncio.wait_for(here.store.claim(pools, 50, 30.0), 5)
    assert sorted(task.item.number for task in claimed.tasks) == [2, 3, 4]
    assert [task.item.number for task in (await here.store.claim(pools, 50, 30.0)).tasks] == [1]


async def _unexpected(reference: Reference) -> bool:
    raise AssertionError("there is but one phase")
