"""A paid result that never arrived is fetched again: from what is staged, or from its provider, never by a submit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import uuid7
from chassis.outbox import Outbox
from objects import ObjectMissing
from provider_worker.adapters.interface import Artifact, JobRef, ProviderError, Status
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.engine.redownloads import MOST_TRIES, NOTHING_PAID, Redownloads
from provider_worker.metrics import UNFORESEEN
from provider_worker.store.redownloads import RedownloadDatabase
from provider_worker.tasks import Redownload
from schemas.events import GenerationCompleted, GenerationFailed, GenerationSettled, JobRedownloadRequested
from tests.worker_builders import PRICE, TENANT, TRACE, Home, Worker, envelope, home_at, said
from tests.worker_studio import Studio, look, sent

pytestmark = pytest.mark.integration

LINK = Artifact("image/png", url="https://studio.example/1.png")
EXPIRED = ProviderError(ProviderCode.PROVIDER_ERROR, "painter's result: 410 Gone")
AWAY = ProviderError(ProviderCode.TEMPORARY, "painter gave no answer (ReadTimeout)")


@dataclass
class Archive(Studio):
    """Serves its results from addresses, while it has them; `riddles` are jobs it says nonsense of."""

    trouble: ProviderError | None = None
    fetched: list[str] = field(default_factory=list)
    riddles: set[str] = field(default_factory=set)

    async def poll(self, ref: JobRef) -> Status:
        if ref.external_id in self.riddles:
            raise ZeroDivisionError
        return await super().poll(ref)

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        if self.trouble is not None:
            raise replace(self.trouble)
        self.fetched.append(art.url or "inline")
        yield b"picture"


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


def redownloads(here: Worker) -> Redownloads:
    store = RedownloadDatabase(here.engine, Outbox("/services/provider-worker"))
    return Redownloads(store, here.tools.production, here.tools.finisher, asyncio.Event())


async def lost(home: Home, archive: Archive) -> tuple[Worker, UUID]:
    """A job whose result was made and paid for, and could not be downloaded."""
    here, job = await sent(home, archive)
    archive.done(artifacts=[LINK])
    archive.trouble = archive.trouble or EXPIRED
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.final, failed.billing.state, failed.billing.amount_micros) == (True, "final", PRICE)
    return here, job.job_id


async def ask(here: Worker, job_id: UUID, *, item: int = 1, request: int = 1, tenant_id: UUID = TENANT) -> None:
    asked = envelope(JobRedownloadRequested(job_id=job_id, item=item, request=request), tenant_id=tenant_id)
    async with here.engine.begin() as conn:
        await here.hears.redownload_requested(conn, [asked])


async def answered(home: Home, here: Worker, tries: int = 1) -> list[GenerationSettled]:
    """What was answered once the next `tries` tries are made."""
    engine = redownloads(here)
    for _ in range(tries):
        await home.rows("UPDATE redownloads SET next_at = now() WHERE next_at IS NOT NULL")
        assert await engine.step()
    return await home.said(GenerationSettled)


async def bytes_of(home: Home, key: str) -> bytes:
    return b"".join([chunk async for chunk in home.objects.open(key)])


async def test_a_paid_result_that_could_not_be_downloaded_is_fetched_without_another_submit(home: Home) -> None:
    archive = Archive(trouble=AWAY)
    here, job_id = await lost(home, archive)
    archive.trouble = None
    await ask(here, job_id)
    [answer] = await answered(home, here)
    assert (answer.redownload, answer.attempt, answer.billing.state) == (1, 1, "final")
    assert answer.billing.amount_micros == PRICE
    [output] = answer.late_outputs
    assert await bytes_of(home, output.staged_key) == b"picture"
    assert answer.asset_context is not None
    assert answer.lineage is not None
    assert len(archive.submits) == 1
    assert sum(archive.bill.values()) == PRICE


async def test_the_answer_goes_to_the_tenant_and_trace_of_the_request(home: Home) -> None:
    here, job_id = await lost(home, Archive())
    await ask(here, job_id)
    await answered(home, here)
    last = (await said(home.engine))[-1]
    assert (last.subject, last.tenant_id, last.traceparent) == (job_id, TENANT, TRACE)


async def test_what_the_provider_no_longer_has_is_said_in_its_words_with_the_same_bill(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    await ask(here, job_id)
    [answer] = await answered(home, here)
    assert (answer.billing.state, answer.billing.amount_micros, answer.late_outputs) == ("final", PRICE, [])
    assert "410 Gone" in answer.evidence
    assert len(archive.submits) == 1


async def test_a_job_the_provider_has_forgotten_is_never_made_again(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    archive.standing["job-1"] = ProviderError(ProviderCode.INVALID_REQUEST, "painter answered 404")
    await ask(here, job_id)
    [answer] = await answered(home, here)
    assert "painter answered 404" in answer.evidence
    assert (len(archive.submits), answer.late_outputs) == (1, [])


async def test_a_provider_that_is_away_is_asked_again_and_not_for_ever(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    archive.standing["job-1"] = AWAY
    await ask(here, job_id)
    assert not await answered(home, here, MOST_TRIES - 1)
    [answer] = await answered(home, here)
    assert "ReadTimeout" in answer.evidence
    assert not await redownloads(here).step()


async def test_a_provider_that_comes_back_in_time_is_not_given_up(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    archive.standing["job-1"] = AWAY
    await ask(here, job_id)
    assert not await answered(home, here)
    [row] = await home.rows("SELECT next_at > now() AS later FROM redownloads")
    assert row.later
    archive.trouble = None
    archive.done(artifacts=[LINK])
    [answer] = await answered(home, here)
    assert len(answer.late_outputs) == 1


async def test_a_request_that_is_tripped_over_is_tried_again_and_answered_in_the_end(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    archive.riddles.add("job-1")
    await ask(here, job_id)
    before = UNFORESEEN.labels("redownload")._value.get()
    assert not await answered(home, here, MOST_TRIES - 1)
    [answer] = await answered(home, here)
    assert (answer.late_outputs, answer.billing.amount_micros) == ([], PRICE)
    assert "an unexpected error of the worker" in answer.evidence
    assert not await redownloads(here).step()
    assert UNFORESEEN.labels("redownload")._value.get() == before + MOST_TRIES


async def test_an_answer_that_cannot_be_kept_is_given_in_other_words(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, job_id = await lost(home, Archive())
    await ask(here, job_id)
    keep = RedownloadDatabase.answer

    async def picky(self: RedownloadDatabase, asked: Redownload, event: GenerationSettled, staged: Any) -> bool:
        if "410 Gone" in event.evidence:
            raise ValueError(event.evidence)
        return await keep(self, asked, event, staged)

    monkeypatch.setattr(RedownloadDatabase, "answer", picky)
    assert not await answered(home, here, MOST_TRIES - 1)
    [answer] = await answered(home, here)
    assert "an unexpected error of the worker" in answer.evidence


async def test_a_database_that_is_locked_makes_no_answer(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    here, job_id = await lost(home, Archive())
    await ask(here, job_id)

    async def locked(*_: Any) -> bool:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(RedownloadDatabase, "answer", locked)
        assert not await answered(home, here, MOST_TRIES + 1)
    [answer] = await answered(home, here)
    assert "410 Gone" in answer.evidence


async def test_a_request_that_is_tripped_over_hinders_no_other(home: Home) -> None:
    archive = Archive()
    here, job = await sent(home, archive, items=2)
    for number in (1, 2):
        archive.done(number)
    await look(home, here)
    await home.rows("UPDATE attempts SET swept_at = now()")
    archive.riddles.add("job-1")
    for item in (1, 2):
        await ask(here, job.job_id, item=item)
    assert len(await answered(home, here)) == 1
    [row] = await home.rows(
        "SELECT next_at < now() + interval '1 minute' AS soon FROM redownloads WHERE tries = 1 AND next_at IS NOT NULL"
    )
    assert row.soon


async def test_a_request_that_is_heard_twice_is_answered_once_and_a_further_one_for_itself(home: Home) -> None:
    here, job_id = await lost(home, Archive())
    await ask(here, job_id)
    await ask(here, job_id)
    assert len(await answered(home, here)) == 1
    await ask(here, job_id)
    assert not await redownloads(here).step()
    await ask(here, job_id, request=2)
    assert [answer.redownload for answer in await answered(home, here)] == [1, 2]


async def test_a_try_whose_holder_slept_is_fenced_by_the_next_one(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    await ask(here, job_id)
    store = RedownloadDatabase(here.engine, Outbox("/services/provider-worker"))
    [old] = await store.due(1, 0.0)
    [new] = await store.due(1, 600.0)
    event = GenerationSettled(
        job_id=job_id, item=1, attempt=1, billing=(await home.said(GenerationFailed))[0].billing, evidence="x"
    )
    await store.postpone(old, 0.0)
    assert not await store.due(1, 0.0)
    assert not await store.answer(old, event, None)
    assert await store.answer(new, event, None)


async def test_a_result_that_storage_could_not_keep_is_handed_over_from_what_is_still_staged(home: Home) -> None:
    archive = Archive()
    here, job = await sent(home, archive)
    archive.done(artifacts=[LINK])
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    archive.trouble = EXPIRED
    await ask(here, job.job_id)
    [answer] = await answered(home, here)
    assert [output.sha256 for output in answer.late_outputs] == [output.sha256 for output in made.outputs]
    assert archive.fetched == [LINK.url]


async def test_a_result_whose_staged_bytes_were_swept_is_fetched_and_swept_again_in_its_time(home: Home) -> None:
    archive = Archive()
    here, job = await sent(home, archive)
    archive.done(artifacts=[LINK])
    await look(home, here)
    await home.rows("UPDATE attempts SET closed_at = now() - interval '8 days'")
    assert await here.upkeep.sweep()
    await ask(here, job.job_id)
    [answer] = await answered(home, here)
    [output] = answer.late_outputs
    assert not await here.upkeep.sweep()
    assert await bytes_of(home, output.staged_key) == b"picture"
    await home.rows("UPDATE attempts SET fetched_at = now() - interval '8 days'")
    assert await here.upkeep.sweep()
    with pytest.raises(ObjectMissing):
        await home.objects.stat(output.staged_key)


async def test_a_result_that_is_still_not_usable_is_refused_with_the_reason(home: Home) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    archive.trouble = None
    here.finisher.bad.add(b"picture")
    await ask(here, job_id)
    [answer] = await answered(home, here, MOST_TRIES)
    assert (answer.late_outputs, answer.evidence) == ([], "the result is not usable: cannot be decoded")


@pytest.mark.parametrize("strange", ["job", "tenant", "item"])
async def test_an_item_of_which_nothing_was_paid_is_told_so(home: Home, strange: str) -> None:
    archive = Archive()
    here, job_id = await lost(home, archive)
    changes: dict[str, dict[str, Any]] = {"job": {}, "tenant": {"tenant_id": uuid7()}, "item": {"item": 2}}
    await ask(here, uuid7() if strange == "job" else job_id, **changes[strange])
    [answer] = await answered(home, here)
    assert (answer.attempt, answer.billing.state, answer.evidence) == (0, "none", NOTHING_PAID)
    assert not archive.fetched


async def test_a_failed_call_that_cost_nothing_is_not_asked_for(home: Home) -> None:
    archive = Archive()
    here, job = await sent(home, archive)
    archive.standing["job-1"] = Status("failed", "job-1", error=ProviderError(ProviderCode.CONTENT_POLICY, "not this"))
    await look(home, here)
    polls = len(archive.polls)
    await ask(here, job.job_id)
    [answer] = await answered(home, here)
    assert (answer.attempt, answer.evidence, len(archive.polls)) == (0, NOTHING_PAID, polls)


async def test_a_request_that_cannot_be_handled_is_answered_all_the_same(home: Home) -> None:
    here, job_id = await lost(home, Archive())
    poisoned = envelope(JobRedownloadRequested(job_id=job_id, item=1, request=3))
    async with here.engine.begin() as conn:
        await here.hears.redownload_poisoned(conn, poisoned, ValueError("no"))
    [answer] = await home.said(GenerationSettled)
    assert (answer.attempt, answer.redownload) == (0, 3)
