"""New jobs: any number of them in one transaction of a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.accepting import Answer, Group, Key, Submission
from api_gateway.inputs import KnownAsset
from api_gateway.looks import Sort, Versions
from api_gateway.store.looks import known_looks
from api_gateway.store.manifests import give_back, running_manifests
from api_gateway.store.totals import Shard
from api_gateway.store.uploads import known_assets
from chassis.outbox import Draft, Outbox
from schemas.event import Event
from schemas.results import JobAccepted

_CLAIM = text(
    "INSERT INTO idempotency (tenant_id, key, digest, job_id) "
    "SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[]), CAST(:digests AS bytea[]), "
    "CAST(:jobs AS uuid[])) ON CONFLICT DO NOTHING"
)

_TAKEN = text(
    "SELECT tenant_id, key, digest, job_id FROM idempotency "
    "WHERE (tenant_id, key) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])))"
)

# One statement for the job, its labels and its place in the totals: requests wait for every one that is sent.
_INSERT = text(
    "WITH made AS (INSERT INTO job (id, tenant_id, user_id, kind, asset_type, brand_kit_id, brand_kit_version, "
    "style_capsule_id, style_capsule_version, request, labels, max_cost_micros, traceparent, deadline_at, "
    "channel, project, resume, next_step) "
    "SELECT i, t, u, k, a, b, v, y, w, r::jsonb, l::jsonb, m, p, now() + make_interval(secs => d), c, j, e, s "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), CAST(:kinds AS text[]), "
    "CAST(:types AS text[]), CAST(:kits AS uuid[]), CAST(:versions AS int[]), "
    "CAST(:capsules AS uuid[]), CAST(:capsule_versions AS int[]), CAST(:requests AS text[]), "
    "CAST(:labels AS text[]), CAST(:caps AS bigint[]), CAST(:traces AS text[]), CAST(:deadlines AS int[]), "
    "CAST(:channels AS text[]), CAST(:projects AS text[]), CAST(:resumes AS bool[]), CAST(:next_steps AS text[])) "
    "AS n(i, t, u, k, a, b, v, y, w, r, l, m, p, d, c, j, e, s) "
    "RETURNING id, tenant_id, user_id, kind, asset_type, labels), "
    "labelled AS (INSERT INTO job_label (tenant_id, name, value, job_id, user_id) "
    "SELECT tenant_id, key, value, id, user_id FROM made, jsonb_each_text(labels)), "
    "counted AS (INSERT INTO job_total (tenant_id, user_id, kind, asset_type, status, shard, jobs) "
    "SELECT tenant_id, user_id, kind, coalesce(asset_type, ''), 'queued', :shard, count(*) FROM made "
    "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 "
    "ON CONFLICT (tenant_id, user_id, kind, asset_type, status, shard) "
    "DO UPDATE SET jobs = job_total.jobs + excluded.jobs) "
    "SELECT now()"
)


async def accept(conn: AsyncConnection, outbox: Outbox, submissions: Sequence[Submission]) -> list[Answer]:
    """Makes jobs of `submissions` in the transaction of `conn`: job, idempotency key and event together.

    One answer each, in order. Nothing about a refused one is written.
    """
    running = await running_manifests(conn, submissions)
    group = Group(submissions, await _known_looks(conn, submissions), await _known_assets(conn, submissions), running)
    taken = await _claim(conn, group)
    created = group.to_create(taken)
    await give_back(conn, group.keys_to_give_back())
    created_at = await _insert(conn, group, created)
    await outbox.add(conn, [draft for submission in created for draft in _drafts(group, submission)])
    return [group.answer(submission, taken, created_at) for submission in submissions]


async def _known_looks(conn: AsyncConnection, submissions: Sequence[Submission]) -> Versions:
    asked = [(entry.tenant_id, entry.order.looks) for entry in submissions]
    return await known_looks(conn, {(sort, tenant, look) for tenant, looks in asked for sort, look in looks.items()})


async def _known_assets(
    conn: AsyncConnection, submissions: Sequence[Submission]
) -> dict[tuple[UUID, UUID], KnownAsset]:
    wanted = [(entry.tenant_id, one.asset_id) for entry in submissions for one in entry.order.spec.inputs]
    return await known_assets(conn, [(tenant_id, asset_id) for tenant_id, asset_id in wanted if asset_id is not None])


async def _claim(conn: AsyncConnection, group: Group) -> dict[Key, tuple[bytes, UUID]]:
    """Takes what keys are free; answers who holds each key of the group afterwards."""
    keys = sorted({submission.claim for submission in group.submissions if submission.claim is not None})
    if not keys:
        return {}
    claims = group.claims()
    if claims:
        await conn.execute(
            _CLAIM,
            {
                "tenants": [submission.tenant_id for submission in claims],
                "keys": [submission.key for submission in claims],
                "digests": [submission.digest for submission in claims],
                "jobs": [submission.job_id for submission in claims],
            },
        )
    rows = await conn.execute(_TAKEN, {"tenants": [tenant for tenant, _ in keys], "keys": [key for _, key in keys]})
    return {(tenant_id, key): (digest, job_id) for tenant_id, key, digest, job_id in rows.all()}


async def _insert(conn: AsyncConnection, group: Group, created: Sequence[Submission]) -> datetime | None:
    if not created:
        return None
    orders = [submission.order for submission in created]
    specs = [group.spec(submission) for submission in created]
    pinned = [group.pinned(submission) for submission in created]
    kits, capsules = ([looks.get(sort) for looks in pinned] for sort in (Sort.BRAND_KIT, Sort.STYLE_CAPSULE))
    manifests = [spec.manifest for spec in specs]
    made_at: datetime = (
        await conn.execute(
            _INSERT,
            {
                "ids": [submission.job_id for submission in created],
                "tenants": [submission.tenant_id for submission in created],
                "users": [submission.user_id for submission in created],
                "kinds": [spec.kind.value for spec in specs],
                "types": [spec.asset_type.value if spec.asset_type else None for spec in specs],
                "kits": [kit and kit.id for kit in kits],
                "versions": [kit and kit.version for kit in kits],
                "capsules": [capsule and capsule.id for capsule in capsules],
                "capsule_versions": [capsule and capsule.version for capsule in capsules],
                "requests": [spec.model_dump_json(exclude_defaults=True) for spec in specs],
                "labels": [to_json(spec.labels).decode() for spec in specs],
                "caps": [order.max_cost_micros for order in orders],
                "traces": [submission.traceparent for submission in created],
                "deadlines": [order.deadline_seconds for order in orders],
                "channels": [manifest and manifest.channel for manifest in manifests],
                "projects": [manifest and manifest.project for manifest in manifests],
                "resumes": [manifest and manifest.resume for manifest in manifests],
                "next_steps": [manifest and manifest.next_step for manifest in manifests],
                "shard": int(Shard.ACCEPTED),
            },
        )
    ).scalar_one()
    return made_at


def _drafts(group: Group, submission: Submission) -> list[Draft]:
    events: list[Event] = [submission.requested(group.spec(submission), group.pinned(submission))]
    if submission.place is not None:
        events.append(JobAccepted(job_id=submission.job_id, labels=submission.order.spec.labels))
    trace = submission.traceparent
    return [Draft(event, submission.job_id, submission.tenant_id, traceparent=trace) for event in events]
