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
from api_gateway.projection import JobState, state
from api_gateway.store.assets import write_assets
from api_gateway.store.totals import Shard
from api_gateway.view import view_of
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from schemas.parts import AssetType, Kind

log = get_logger()

_LOCK = text(
    "SELECT id, tenant_id, user_id, kind, asset_type, labels, status, progress, settled, created_at, now() AS now "
    "FROM job WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)

# The empty slots are filled and the facts of every job that got one are read, in one statement: what it writes it does
# not see, so both halves are put together. One row for each job, because taking thousands of small rows apart would
# cost more than reading one document.
_FILL = text(
    "WITH fresh AS (INSERT INTO fact (job_id, item, attempt, kind, output, asset_id, body) "
    "SELECT j, i, a, k, o, s, b::jsonb FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), "
    "CAST(:attempts AS int[]), CAST(:kinds AS smallint[]), CAST(:outputs AS int[]), CAST(:assets AS uuid[]), "
    "CAST(:bodies AS text[])) AS f(j, i, a, k, o, s, b) ON CONFLICT DO NOTHING "
    "RETURNING job_id, item, attempt, kind, output, asset_id, body), "
    "whole AS (SELECT job_id, item, attempt, kind, output, asset_id, body, false AS new "
    "FROM fact WHERE job_id = ANY(CAST(:ids AS uuid[])) "
    "UNION ALL SELECT job_id, item, attempt, kind, output, asset_id, body, true FROM fresh) "
    "SELECT job_id, json_agg(json_build_array(item, attempt, kind, output, asset_id, body))::text, "
    "array_agg(kind) FILTER (WHERE new) FROM whole GROUP BY job_id HAVING bool_or(new)"
)

_READ = text(
    "SELECT job_id, json_agg(json_build_array(item, attempt, kind, output, asset_id, body))::text "
    "FROM fact WHERE job_id = ANY(:ids) GROUP BY job_id"
)

# `job` in the second part is the job as it was before this statement, `news` as it will be after it.
_WRITE = text(
    "WITH news AS MATERIALIZED (SELECT u.id, n.* FROM unnest(CAST(:ids AS uuid[]), CAST(:documents AS text[])) "
    "AS u(id, document), jsonb_to_record(u.document::jsonb) AS n(status text, stage text, progress smallint, "
    "estimated bigint, reserved bigint, actual bigint, currency text, settled boolean, sealed boolean, view jsonb)), "
    "counted AS (INSERT INTO job_total (tenant_id, user_id, kind, asset_type, status, shard, jobs) "
    "SELECT tenant_id, user_id, kind, coalesce(asset_type, ''), side.status, :shard, sum(side.jobs) "
    "FROM job JOIN news USING (id), LATERAL (VALUES (job.status, -1), (news.status, 1)) AS side(status, jobs) "
    "WHERE job.status <> news.status GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 "
    "ON CONFLICT (tenant_id, user_id, kind, asset_type, status, shard) "
    "DO UPDATE SET jobs = job_total.jobs + excluded.jobs) "
    "UPDATE job SET status = news.status, stage = news.stage, progress = news.progress, "
    "estimated_micros = news.estimated, reserved_micros = news.reserved, actual_micros = news.actual, "
    "currency = news.currency, settled = news.settled, view = news.view, version = job.version + 1, "
    "updated_at = now(), "
    "cancel_requested_at = CASE WHEN news.view->>'cancellation' IS NOT NULL "
    "THEN coalesce(job.cancel_requested_at, now()) END, "
    "completed_at = CASE WHEN news.sealed THEN coalesce(job.completed_at, now()) END "
    "FROM news WHERE job.id = news.id"
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


@dataclass(frozen=True, slots=True)
class _Filled:
    """A job that got something new: all its facts, and which kinds were new."""

    job_id: UUID
    facts: list[Fact]
    new: frozenset[int]


Judge = Callable[[Job, Sequence[Fact]], Sequence[Fact]]
"""Facts the gateway itself adds to a locked job, given those it has."""


async def project(conn: AsyncConnection, outbox: Outbox, heard: Sequence[Heard], shard: Shard) -> list[UUID]:
    """Writes what is new of `heard` and brings its jobs up to date, in the transaction of `conn`.

    Facts about jobs nobody accepted are logged and dropped (R39). Answers the jobs that changed.
    """
    locked = await _lock(conn, {entry.job_id for entry in heard})
    filled = await _fill(conn, [entry for entry in heard if _is_ours(entry, locked)])
    traces = {entry.job_id: entry.traceparent for entry in heard}
    return await _bring_up_to_date(conn, outbox, locked, filled, traces=traces, shard=shard)


async def judge(conn: AsyncConnection, outbox: Outbox, ids: Iterable[UUID], decide: Judge, shard: Shard) -> list[UUID]:
    """Locks jobs, lets `decide` add facts of the gateway's own to each, and brings those up to date."""
    locked = await _lock(conn, set(ids))
    known = await _read(conn, list(locked))
    heard = [
        Heard(job_id, entry.job.tenant_id, facts)
        for job_id, entry in locked.items()
        if (facts := decide(entry.job, known.get(job_id, [])))
    ]
    return await _bring_up_to_date(conn, outbox, locked, await _fill(conn, heard), traces={}, shard=shard)


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
    job_id, tenant_id, user_id, kind, asset_type, labels, status, progress, settled, created_at, _ = row
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
        created_at=created_at,
    )


async def _fill(conn: AsyncConnection, heard: Sequence[Heard]) -> list[_Filled]:
    """Fills the slots that are still empty; answers the jobs that got something new, with all their facts."""
    rows = [
        (entry.job_id, fact.item, fact.attempt, int(fact.kind), fact.output, fact.asset_id, to_json(fact.body).decode())
        for entry in heard
        for fact in entry.facts
    ]
    if not rows:
        return []
    jobs, items, attempts, kinds, outputs, assets, bodies = (list(column) for column in zip(*rows, strict=True))
    values = {"jobs": jobs, "items": items, "attempts": attempts, "kinds": kinds, "outputs": outputs, "assets": assets}
    found = await conn.execute(_FILL, {**values, "bodies": bodies, "ids": list(set(jobs))})
    return [_Filled(job_id, _facts(document), frozenset(new)) for job_id, document, new in found.all()]


async def _read(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[Fact]]:
    found = await conn.execute(_READ, {"ids": list(ids)})
    return {job_id: _facts(document) for job_id, document in found.all()}


def _facts(document: str) -> list[Fact]:
    return [
        Fact(item, attempt, _KINDS[kind], output, body, UUID(asset_id) if asset_id else None)
        for item, attempt, kind, output, asset_id, body in from_json(document)
    ]


_KINDS = {int(kind): kind for kind in FactKind}


async def _bring_up_to_date(
    conn: AsyncConnection,
    outbox: Outbox,
    locked: Mapping[UUID, _Locked],
    filled: Sequence[_Filled],
    *,
    traces: Mapping[UUID, str | None],
    shard: Shard,
) -> list[UUID]:
    changes = {entry.job_id: change for entry in filled if (change := _change(locked[entry.job_id], entry.facts))}
    await _write(conn, list(changes.values()), shard)
    shown = [changes[entry.job_id] for entry in filled if entry.job_id in changes and entry.new - _NO_ASSETS]
    await write_assets(conn, shown)
    await outbox.add(conn, [draft for change in changes.values() for draft in _drafts(change, traces)])
    return list(changes)


def _change(entry: _Locked, facts: Sequence[Fact]) -> Change | None:
    found = state(facts)
    try:
        return Change(entry.job, advance(entry.job, found), entry.now)
    except InvalidStateTransition as error:
        # The job stays as it was told; whoever said otherwise broke the contract of one final event per item.
        metrics.CONTRADICTED.inc()
        log.error("job_contradicted", job_id=str(entry.job.id), before=error.before, after=error.after)
        return None


async def _write(conn: AsyncConnection, changes: Sequence[Change], shard: Shard) -> None:
    if not changes:
        return
    documents = [to_json(_document(change.after)).decode() for change in changes]
    ids = [change.before.id for change in changes]
    await conn.execute(_WRITE, {"ids": ids, "documents": documents, "shard": int(shard)})


def _document(after: JobState) -> dict[str, Any]:
    return {
        "status": after.status,
        "stage": after.stage,
        "progress": after.progress,
        "estimated": after.estimated_micros,
        "reserved": after.reserved_micros,
        "actual": after.actual_micros,
        "currency": after.currency,
        "settled": after.settled,
        "sealed": after.sealed,
        "view": view_of(after),
    }


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
    seconds = (change.now - change.before.created_at).total_seconds()
    metrics.JOB_SECONDS.labels(kind, status).observe(seconds)
