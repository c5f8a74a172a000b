"""Facts in, jobs out: one pass of a few multi-row statements, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway import metrics
from api_gateway.facts import Fact, FactKind
from api_gateway.history import History
from api_gateway.lifecycle import TERMINAL, InvalidStateTransition, Status
from api_gateway.outcomes import Change, Job, Manifest, advance, announcements
from api_gateway.projection import state_of
from api_gateway.store.assets import write_assets
from api_gateway.store.deliveries import tell
from api_gateway.store.facts import fill, read_histories
from api_gateway.store.remembering import Remembered
from api_gateway.store.totals import Shard, count_moves
from api_gateway.view import view_of
from api_gateway.webhooks import News
from chassis.database import after_commit
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from schemas.parts import AssetType, Kind

log = get_logger()

_LOCK = text(
    "SELECT id, tenant_id, user_id, kind, asset_type, nullif(labels, '{}'), status, progress, settled, created_at, "
    "channel, project, next_step, version, xmin, pg_current_xact_id()::xid, now() FROM job "
    "WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
)

_WRITE = text(
    "UPDATE job SET status = news.status, progress = news.progress, settled = news.settled, view = news.view, "
    "version = job.version + 1, updated_at = now(), "
    "cancel_requested_at = CASE WHEN job.id = ANY(CAST(:stopping AS uuid[])) "
    "THEN coalesce(job.cancel_requested_at, now()) END, "
    "completed_at = CASE WHEN news.status = ANY(CAST(:terminal AS text[])) "
    "THEN coalesce(job.completed_at, now()) END "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:progresses AS smallint[]), "
    "CAST(:settled AS bool[]), CAST(:views AS text[])) AS news(id, status, progress, settled, view) "
    "WHERE job.id = news.id"
)

# A job that has new facts and yet does not change: its row says so, or its history would be taken for whole elsewhere.
_TOUCH = text("UPDATE job SET updated_at = updated_at WHERE id = ANY(CAST(:ids AS uuid[]))")

# Facts that can neither bring an asset into view nor change it.
_NO_ASSETS = frozenset(
    {
        FactKind.QUOTED,
        FactKind.RESERVED,
        FactKind.REFUSED,
        FactKind.STARTED,
        FactKind.PROGRESSED,
        FactKind.SETTLED,
        FactKind.RECORDED,
        FactKind.CANCEL_REQUESTED,
        FactKind.REDOWNLOADED,
        FactKind.LATE_LOST,
    }
)


class Heard(NamedTuple):
    """Facts about one job, with the trace context of what brought them."""

    job_id: UUID
    tenant_id: UUID
    facts: Sequence[Fact]
    traceparent: str | None = None


class _Locked(NamedTuple):
    """A job under its lock: `version` of its row, the transaction that wrote that, and the one that holds the lock."""

    job: Job
    version: int
    writer: int
    holder: int
    now: datetime


@dataclass(slots=True)
class _Filling:
    """A job with all its facts; `fresh` are those that are new, `traceparent` is the context of what brought them.

    `settled`: nothing more is expected but what becomes of its assets.
    """

    locked: _Locked
    history: History
    fresh: list[Fact] = field(default_factory=list)
    traceparent: str | None = None
    settled: bool = False

    def add(self, facts: Iterable[Fact]) -> None:
        self.fresh += [fact for fact in facts if self.history.add(fact)]


Judge = Callable[[Job, Sequence[Fact]], Sequence[Fact]]
"""Facts the gateway itself adds to a locked job, given those it has."""


async def project(
    conn: AsyncConnection,
    outbox: Outbox,
    heard: Sequence[Heard],
    shard: Shard,
    remembered: Remembered,
    *,
    on_deliveries: Callable[[], None] | None = None,
) -> list[UUID]:
    """Writes what is new of `heard` and brings its jobs up to date, in the transaction of `conn`.

    Facts about jobs nobody accepted are logged and dropped (R39). Answers the jobs that changed. `on_deliveries` is
    called after the transaction where it left something to send to webhooks.
    """
    filling = await _open(conn, {entry.job_id for entry in heard}, remembered)
    for entry in heard:
        job = filling.get(entry.job_id)
        if job is None or job.locked.job.tenant_id != entry.tenant_id:
            _drop(entry)
            continue
        job.add(entry.facts)
        job.traceparent = entry.traceparent
    changed, to_deliver = await _bring_up_to_date(conn, outbox, filling.values(), shard)
    if to_deliver and on_deliveries is not None:
        after_commit(conn, on_deliveries)
    for job_id, found in filling.items():
        if not found.settled:
            remembered.keep(job_id, found.locked.holder if found.fresh else found.locked.writer, found.history)
    return changed


async def judge(conn: AsyncConnection, outbox: Outbox, ids: Iterable[UUID], decide: Judge, shard: Shard) -> list[UUID]:
    """Locks jobs, lets `decide` add facts of the gateway's own to each, and brings those up to date."""
    filling = await _open(conn, set(ids), Remembered())
    for entry in filling.values():
        entry.add(decide(entry.locked.job, list(entry.history.facts.values())))
    changed, _ = await _bring_up_to_date(conn, outbox, filling.values(), shard)
    return changed


def _drop(heard: Heard) -> None:
    names = [fact.kind.name for fact in heard.facts]
    log.warning("job_not_found", job_id=str(heard.job_id), tenant=str(heard.tenant_id), facts=names)


async def _open(conn: AsyncConnection, ids: set[UUID], remembered: Remembered) -> dict[UUID, _Filling]:
    """Locks jobs. Their histories: none for a job that never changed, else as it is remembered, else read."""
    locked = await _lock(conn, ids)
    known = [History() if entry.version == 1 else remembered.take(entry.job.id, entry.writer) for entry in locked]
    missing = [entry.job.id for entry, history in zip(locked, known, strict=True) if history is None]
    found = await read_histories(conn, missing)
    return {
        entry.job.id: _Filling(entry, history or found.get(entry.job.id) or History())
        for entry, history in zip(locked, known, strict=True)
    }


async def _lock(conn: AsyncConnection, ids: set[UUID]) -> list[_Locked]:
    if not ids:
        return []
    rows = (await conn.execute(_LOCK, {"ids": ids})).all()
    return [_Locked(_job(row), *row[-4:]) for row in rows]


def _job(row: Any) -> Job:
    job_id, tenant_id, user_id, kind, asset_type, labels, status, progress, settled, created_at, *others = row
    channel, project, next_step, *_ = others
    return Job(
        job_id,
        tenant_id,
        user_id,
        _KINDS[kind],
        AssetType(asset_type) if asset_type else None,
        labels or {},
        _STATUSES[status],
        progress,
        settled,
        created_at,
        None if channel is None else Manifest(channel, project, next_step),
    )


_KINDS = {kind.value: kind for kind in Kind}
_STATUSES = {status.value: status for status in Status}


async def _bring_up_to_date(
    conn: AsyncConnection, outbox: Outbox, filling: Iterable[_Filling], shard: Shard
) -> tuple[list[UUID], bool]:
    """Writes the new facts of each job and what it becomes by them; whether webhooks are to hear of it."""
    filled = [entry for entry in filling if entry.fresh]
    await fill(conn, [(entry.locked.job.id, fact) for entry in filled for fact in entry.fresh])
    judged = [(entry, _change(entry)) for entry in filled]
    changed = [(entry, change) for entry, change in judged if change is not None]
    await _write(conn, [change for _, change in changed], shard)
    await _touch(conn, [entry.locked.job.id for entry, change in judged if change is None])
    await write_assets(conn, [change for entry, change in changed if _shows_assets(entry.fresh)])
    to_deliver = await _announce(conn, outbox, changed)
    for entry, change in changed:
        _tell_end(change, entry.traceparent)
    return [change.before.id for _, change in changed], to_deliver


def _change(entry: _Filling) -> Change | None:
    job = entry.locked.job
    found = state_of(entry.history)
    entry.settled = found.settled
    try:
        return Change(job, advance(job, found), entry.locked.now)
    except InvalidStateTransition as error:
        # The job stays as it was told; whoever said otherwise broke the contract of one final event per item.
        metrics.CONTRADICTED.inc()
        log.error("job_contradicted", job_id=str(job.id), before=error.before, after=error.after)
        return None


def _tell_end(change: Change, traceparent: str | None) -> None:
    job, status = change.before, change.after.status
    if status in TERMINAL and job.status not in TERMINAL:
        log.info(
            "asset_generation_complete",
            job_id=str(job.id),
            tenant=str(job.tenant_id),
            trace_id=traceparent[3:35] if traceparent else None,
            status=status.value,
            seconds=round((change.now - job.created_at).total_seconds(), 3),
        )


def _shows_assets(fresh: Sequence[Fact]) -> bool:
    return any(fact.kind not in _NO_ASSETS for fact in fresh)


async def _write(conn: AsyncConnection, changes: Sequence[Change], shard: Shard) -> None:
    if not changes:
        return
    after = [change.after for change in changes]
    values = {
        "ids": [change.before.id for change in changes],
        "statuses": [one.status.value for one in after],
        "progresses": [one.progress for one in after],
        "settled": [one.settled for one in after],
        "views": [to_json(view_of(one)).decode() for one in after],
        "stopping": [change.before.id for change in changes if change.after.cancellation is not None],
        "terminal": _TERMINAL,
    }
    await conn.execute(_WRITE, values)
    await count_moves(conn, changes, shard)


_TERMINAL = [status.value for status in TERMINAL]


async def _touch(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    if ids:
        await conn.execute(_TOUCH, {"ids": ids})


async def _announce(conn: AsyncConnection, outbox: Outbox, changed: Sequence[tuple[_Filling, Change]]) -> bool:
    """Says what the outside may know, on its topic and to webhooks; whether there are any of those."""
    drafts, news = [], []
    for entry, change in changed:
        job = change.before
        if change.after.sealed and not job.sealed:
            _count_end(change)
        for event in announcements(job, change.after, change.now):
            drafts.append(Draft(event, job.id, job.tenant_id, traceparent=entry.traceparent))
            news.append(News(event, job.tenant_id, job.user_id, job.id, change.now))
    await outbox.add(conn, drafts)
    return await tell(conn, news)


def _count_end(change: Change) -> None:
    kind, status = change.before.kind.value, change.after.status.value
    code = change.after.error.code if change.after.error else ""
    metrics.ENDED.labels(kind, status, code).inc()
    seconds = (change.now - change.before.created_at).total_seconds()
    metrics.JOB_SECONDS.labels(kind, status).observe(seconds)
