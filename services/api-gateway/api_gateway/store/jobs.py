"""Jobs, as requests make, read and stop them. Opens the transactions; the statements are its neighbours'."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api_gateway import metrics, redownloading
from api_gateway.accepting import Accepted, Answer, Repeated, Submission
from api_gateway.facts import Fact, FactKind, cancel_requested
from api_gateway.keys import Principal
from api_gateway.outcomes import Job
from api_gateway.paging import Page
from api_gateway.rendering import AssetRow, JobRow, Listed
from api_gateway.store import accepting, reading
from api_gateway.store.projecting import judge
from api_gateway.store.sweeping import say_cancel
from api_gateway.store.totals import Shard
from api_gateway.watching import Watch
from chassis.database import after_commit, tenant_transaction
from chassis.errors import Conflict, Forbidden, NotFound
from chassis.group_commit import GroupCommit
from chassis.outbox import Draft, Outbox
from chassis.tracing import current_traceparent
from schemas.jobs import JobRedownloadRequested


class Jobs:
    """The gateway's jobs. `group` is how many requests share a commit at most."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, watch: Watch, *, group: int = 200) -> None:
        self._engine = engine
        self._outbox = outbox
        self._watch = watch
        self._group: GroupCommit[Submission, Accepted | Repeated] = GroupCommit(self.submit_all, limit=group)

    async def submit(self, submission: Submission) -> Accepted | Repeated:
        """Makes a job, in one commit with those who ask at the same time. Raises what refuses it."""
        return await self._group.submit(submission)

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Makes jobs in one commit; a refusal is an answer like any other."""
        async with self._engine.begin() as conn:
            answers = await accepting.accept(conn, self._outbox, submissions)
        metrics.ACCEPTED.inc(sum(isinstance(answer, Accepted) for answer in answers))
        metrics.REPEATED.inc(sum(isinstance(answer, Repeated) for answer in answers))
        return answers

    async def drain(self) -> None:
        """Waits for the requests that are being written."""
        await self._group.drain()

    async def job(self, who: Principal, job_id: UUID) -> JobRow:
        """A job that `who` may see. Raises `NotFound`: a missing job and somebody else's look the same (R12)."""
        async with tenant_transaction(self._engine, who.tenant_id) as conn:
            row = await reading.read_job(conn, who.tenant_id, who.reader, job_id)
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return row

    async def jobs(self, who: Principal, ids: Sequence[UUID]) -> dict[UUID, JobRow]:
        """Those of `ids` that `who` may see."""
        async with tenant_transaction(self._engine, who.tenant_id) as conn:
            return await reading.read_jobs(conn, who.tenant_id, who.reader, ids)

    async def page(self, who: Principal, page: Page) -> Listed:
        """A page of the jobs that `who` may see."""
        async with tenant_transaction(self._engine, who.tenant_id) as conn:
            return await reading.read_page(conn, who.tenant_id, who.reader, page)

    async def assets(self, who: Principal, job_id: UUID) -> list[AssetRow]:
        """The assets of a job that `who` may see, which the caller has made sure of."""
        async with tenant_transaction(self._engine, who.tenant_id) as conn:
            return await reading.read_assets(conn, who.tenant_id, job_id)

    async def asset(self, who: Principal, asset_id: UUID) -> AssetRow | None:
        """An asset that `who` may see, or None."""
        async with tenant_transaction(self._engine, who.tenant_id) as conn:
            return await reading.read_asset(conn, who.tenant_id, who.reader, asset_id)

    async def cancel(self, who: Principal, job_id: UUID) -> JobRow:
        """Asks a job to stop, once. Raises `Conflict` when it has ended, `Forbidden` when it is a colleague's."""
        await self._own(who, job_id, "cancel it")
        async with self._engine.begin() as conn:
            await stop(conn, self._outbox, self._watch, [job_id], reason="user", shard=Shard.OWN)
        row = await self.job(who, job_id)
        if row.terminal:
            raise Conflict(f"the job has ended: it is {row.status}")
        return row

    async def redownload(self, who: Principal, job_id: UUID, items: Sequence[int]) -> JobRow:
        """Has what was paid for fetched again, of `items` or of all that lack it; see `redownloading.ask`."""
        await self._own(who, job_id, "have it fetched again")
        asked: list[Fact] = []

        def decide(_: Job, facts: Sequence[Fact]) -> list[Fact]:
            asked.extend(redownloading.ask(facts, items))
            return asked

        async with self._engine.begin() as conn:
            changed = await judge(conn, self._outbox, [job_id], decide, Shard.OWN)
            events = [
                JobRedownloadRequested(job_id=job_id, item=fact.item, request=fact.output)
                for fact in asked
                if fact.body["fetch"]
            ]
            trace = current_traceparent()
            await self._outbox.add(conn, [Draft(event, job_id, who.tenant_id, trace) for event in events])
            after_commit(conn, partial(self._watch.notify, changed))
        return await self.job(who, job_id)

    async def _own(self, who: Principal, job_id: UUID, act: str) -> None:
        row = await self.job(who, job_id)
        if row.user_id != who.user_id and not who.may("admin"):
            raise Forbidden(f"only the owner of a job may {act}")


async def stop(
    conn: AsyncConnection, outbox: Outbox, watch: Watch, ids: Sequence[UUID], *, reason: str, shard: Shard
) -> list[UUID]:
    """Asks jobs to stop that have neither ended nor been asked before; answers which."""
    changed = await judge(conn, outbox, ids, partial(_ask_to_stop, reason), shard)
    await say_cancel(conn, outbox, changed, reason)
    after_commit(conn, partial(watch.notify, changed))
    return changed


def _ask_to_stop(reason: str, job: Job, facts: Sequence[Fact]) -> list[Fact]:
    if job.sealed or any(fact.kind is FactKind.CANCEL_REQUESTED for fact in facts):
        return []
    return [cancel_requested(reason)]
