"""Facts in, jobs out: one pass of a few multi-row statements, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway import metrics
from api_gateway.facts import Fact, FactKind
from api_gateway.lifecycle import InvalidStateTransition, Status
from api_gateway.outcomes import Change, Job, advance, announcements
from api_gateway.projection import state
from api_gateway.store.assets import write_assets
from api_gateway.store.totals import Shard, add_moves
from api_gateway.view import view_of
from chassis.ids import uuid7_time
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from schemas.parts import AssetType, Kind

log = get_logger()

_LOCK = text(
    "SELECT id, tenant_id, user_id, kind, asset_type, labels, status, progress, settled, now() AS now "
    "FROM job WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)

_INSERT = text(
    "WITH fresh AS (INSERT INTO fact (job_id, item, attempt, kind, output, asset_id, body) "
    "SELECT j, i, a, k, o, s, b::jsonb FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), "
    "CAST(:attempts AS int[]), CAST(:kinds AS smallint[]), CAST(:outputs AS int[]), CAST(:assets AS uuid[]), "
    "CAST(:bodies AS text[])) AS f(j, i, a, k, o, s, b) "
    "ON CONFLICT DO NOTHING RETURNING job_id, kind) SELECT job_id, array_agg(kind) FROM fresh GROUP BY job_id"
)

# One row for each job: taking thousands of small rows apart would cost more than reading one document.
_READ = text(
    "SELECT job_id, json_agg(json_build_array(item, attempt, kind, output, asset_id, body))::text "
    "FROM fact WHERE job_id = ANY(:ids) GROUP BY job_id"
)

_WRITE = text(
    "UPDATE job SET status = u.status, stage = u.stage, progress = u.progress, estimated_micros = u.estimated, "
    "reserved_micros = u.reserved, actual_micros = u.actual, currency = u.currency, settled = u.settled, "
    "view = u.view::jsonb, version = job.version + 1, updated_at = now(), "
    "cancel_requested_at = CASE WHEN u.stopping THEN coalesce(job.cancel_requested_at, now()) END, "
    "completed_at = CASE WHEN u.sealed THEN coalesce(job.completed_at, now()) END "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:stages AS text[]), "
    "CAST(:progresses AS smallint[]), CAST(:estimates AS bigint[]), CAST(:reserves AS bigint[]), "
    "CAST(:actuals AS bigint[]), CAST(:currencies AS text[]), CAST(:settlements AS bool[]), CAST(:views AS text[]), "
    "CAST(:stopping AS bool[]), CAST(:sealed AS bool[])) "
    "AS u(id, status, stage, progress, estimated, reserved, actual, currency, settled, view, stopping, sealed) "
    "WHERE job.id = u.id"
)

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
    }
)


@dataclass(frozen=True, slots=True)
class Heard:
    """Facts about one job, with the trace context of what brought them."""

    job_id: UUID
    tenant_id: UUID
    facts: Sequence[Fact]
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class _Locked:
    job: Job
    now: datetime


Judge = Callable[[Job, Sequence[Fact]], Sequence[Fact]]
"""Facts the gateway itself adds to a locked job, given those it has."""


async def project(conn: AsyncConnection, outbox: Outbox, heard: Sequence[Heard], shard: Shard) -> list[UUID]:
    """Writes what is new of `heard` and brings its jobs up to date, in the transaction of `conn`.

    Facts about jobs nobody accepted are logged and dropped (R39). Answers the jobs that changed.
    """
    locked = await _lock(conn, {entry.job_id for entry in heard})
    fresh = await _insert(conn, [entry for entry in heard if _is_ours(entry, locked)])
    if not fresh:
        return []
    traces = {entry.job_id: entry.traceparent for entry in heard}
    return await _bring_up_to_date(conn, outbox, {job: locked[job] for job in fresh}, fresh, traces=traces, shard=shard)


async def judge(conn: AsyncConnection, outbox: Outbox, ids: Iterable[UUID], decide: Judge, shard: Shard) -> list[UUID]:
    """Locks jobs, lets `decide` add facts of the gateway's own to each, and brings those up to date."""
    locked = await _lock(conn, set(ids))
    known = await _read(conn, list(locked))
    heard = [
        Heard(job_id, entry.job.tenant_id, facts)
        for job_id, entry in locked.items()
        if (facts := decide(entry.job, known[job_id]))
    ]
    fresh = await _insert(conn, heard)
    if not fresh:
        return []
    return await _bring_up_to_date(conn, outbox, {job: locked[job] for job in fresh}, fresh, traces={}, shard=shard)


def _is_ours(heard: Heard, locked: Mapping[UUID, _Locked]) -> bool:
    entry = locked.get(heard.job_id)
    if entry is not None and entry.job.tenant_id == heard.tenant_id:
        return True
    log.warning("job_not_found", job_id=str(heard.job_id), tenant=str(heard.tenant_id), facts=_names(heard.facts))
    return False


def _names(facts: Sequence[Fact]) -> list[str]:
    return [fact.kind.name for fact in facts]


async def _lock(conn: AsyncConnection, ids: set[UUID]) -> dict[UUID, _Locked]:
    if not ids:
        return {}
    rows = (await conn.execute(_LOCK, {"ids": sorted(ids)})).all()
    return {row[0]: _Locked(_job(row), row[-1]) for row in rows}


def _job(row: Any) -> Job:
    job_id, tenant_id, user_id, kind, asset_type, labels, status, progress, settled, _ = row
    return Job(
        id=job_id,
        tenant_id=tenant_id,
        user_id=user_id,
        kind=Kind(kind),
        asset_type=AssetType(asset_type) if asset_type else None,
        labels=labels,
        status=Status(status),
        progress=progress,
        settled=settled,
    )


async def _insert(conn: AsyncConnection, heard: Sequence[Heard]) -> dict[UUID, set[int]]:
    """Fills the slots that are still empty; answers by job which kinds were new."""
    rows = [
        (entry.job_id, fact.item, fact.attempt, int(fact.kind), fact.output, fact.asset_id, to_json(fact.body).decode())
        for entry in heard
        for fact in entry.facts
    ]
    if not rows:
        return {}
    jobs, items, attempts, kinds, outputs, assets, bodies = (list(column) for column in zip(*rows, strict=True))
    values = {"jobs": jobs, "items": items, "attempts": attempts, "kinds": kinds, "outputs": outputs}
    inserted = await conn.execute(_INSERT, {**values, "assets": assets, "bodies": bodies})
    return {job_id: set(new_kinds) for job_id, new_kinds in inserted.all()}


async def _read(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[Fact]]:
    found: dict[UUID, list[Fact]] = {job_id: [] for job_id in ids}
    if ids:
        for job_id, facts in (await conn.execute(_READ, {"ids": list(ids)})).all():
            found[job_id] = [
                Fact(item, attempt, _KINDS[kind], output, body, UUID(asset_id) if asset_id else None)
                for item, attempt, kind, output, asset_id, body in from_json(facts)
            ]
    return found


_KINDS = {int(kind): kind for kind in FactKind}


async def _bring_up_to_date(
    conn: AsyncConnection,
    outbox: Outbox,
    locked: Mapping[UUID, _Locked],
    fresh: Mapping[UUID, set[int]],
    *,
    traces: Mapping[UUID, str | None],
    shard: Shard,
) -> list[UUID]:
    facts = await _read(conn, list(locked))
    changes = [change for job_id, entry in locked.items() if (change := _change(entry, facts[job_id]))]
    await _write(conn, changes)
    await write_assets(conn, [change for change in changes if fresh[change.before.id] - _NO_ASSETS])
    await add_moves(conn, shard, [(change.before, change.after.status) for change in changes])
    await outbox.add(conn, [draft for change in changes for draft in _drafts(change, traces)])
    return [change.before.id for change in changes]


def _change(entry: _Locked, facts: Sequence[Fact]) -> Change | None:
    found = state(facts)
    try:
        return Change(entry.job, advance(entry.job, found), entry.now)
    except InvalidStateTransition as error:
        # The job stays as it was told; whoever said otherwise broke the contract of one final event per item.
        metrics.CONTRADICTED.inc()
        log.error("job_contradicted", job_id=str(entry.job.id), before=error.before, after=error.after)
        return None


async def _write(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    if not changes:
        return
    after = [change.after for change in changes]
    await conn.execute(
        _WRITE,
        {
            "ids": [change.before.id for change in changes],
            "statuses": [found.status.value for found in after],
            "stages": [found.stage and found.stage.value for found in after],
            "progresses": [found.progress for found in after],
            "estimates": [found.estimated_micros for found in after],
            "reserves": [found.reserved_micros for found in after],
            "actuals": [found.actual_micros for found in after],
            "currencies": [found.currency for found in after],
            "settlements": [found.settled for found in after],
            "views": [to_json(view_of(found)).decode() for found in after],
            "stopping": [found.cancellation is not None for found in after],
            "sealed": [found.sealed for found in after],
        },
    )


def _drafts(change: Change, traces: Mapping[UUID, str | None]) -> list[Draft]:
    job = change.before
    if change.after.sealed and not job.sealed:
        _count_end(change)
    events = announcements(job, change.after, change.now)
    return [Draft(event, job.id, job.tenant_id, traceparent=traces.get(job.id)) for event in events]


def _count_end(change: Change) -> None:
    kind, status = change.before.kind.value, change.after.status.value
    code = change.after.error.code if change.after.error else ""
    metrics.ENDED.labels(kind, status, code).inc()
    seconds = (change.now - uuid7_time(change.before.id)).total_seconds()
    metrics.JOB_SECONDS.labels(kind, status).observe(max(0.0, seconds))
