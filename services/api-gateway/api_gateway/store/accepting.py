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
from api_gateway.store.totals import Shard
from api_gateway.store.uploads import known_assets
from chassis.outbox import Draft, Outbox

_KITS = text(
    "SELECT tenant_id, id, version FROM brand_kit "
    "WHERE (tenant_id, id) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:kits AS uuid[]))) AND NOT deleted"
)

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
    "request, labels, max_cost_micros, traceparent, deadline_at) "
    "SELECT i, t, u, k, a, b, v, r::jsonb, l::jsonb, m, p, now() + make_interval(secs => d) "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), CAST(:kinds AS text[]), "
    "CAST(:types AS text[]), CAST(:kits AS uuid[]), CAST(:versions AS int[]), CAST(:requests AS text[]), "
    "CAST(:labels AS text[]), CAST(:caps AS bigint[]), CAST(:traces AS text[]), CAST(:deadlines AS int[])) "
    "AS n(i, t, u, k, a, b, v, r, l, m, p, d) RETURNING id, tenant_id, user_id, kind, asset_type, labels), "
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
    group = Group(submissions, await _known_kits(conn, submissions), await _known_assets(conn, submissions))
    taken = await _claim(conn, group)
    created = group.to_create(taken)
    created_at = await _insert(conn, group, created)
    await outbox.add(conn, [_draft(group, submission) for submission in created])
    return [group.answer(submission, taken, created_at) for submission in submissions]


async def _known_kits(conn: AsyncConnection, submissions: Sequence[Submission]) -> dict[tuple[UUID, UUID], int]:
    wanted = {(entry.tenant_id, kit) for entry in submissions if (kit := entry.order.brand_kit_id) is not None}
    if not wanted:
        return {}
    tenants, kits = (list(column) for column in zip(*wanted, strict=True))
    rows = await conn.execute(_KITS, {"tenants": tenants, "kits": kits})
    return {(tenant_id, kit_id): version for tenant_id, kit_id, version in rows.all()}


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
    made_at: datetime = (
        await conn.execute(
            _INSERT,
            {
                "ids": [submission.job_id for submission in created],
                "tenants": [submission.tenant_id for submission in created],
                "users": [submission.user_id for submission in created],
                "kinds": [spec.kind.value for spec in specs],
                "types": [spec.asset_type.value if spec.asset_type else None for spec in specs],
                "kits": [order.brand_kit_id for order in orders],
                "versions": [group.kit_version(submission) for submission in created],
                "requests": [spec.model_dump_json(exclude_defaults=True) for spec in specs],
                "labels": [to_json(spec.labels).decode() for spec in specs],
                "caps": [order.max_cost_micros for order in orders],
                "traces": [submission.traceparent for submission in created],
                "deadlines": [order.deadline_seconds for order in orders],
                "shard": int(Shard.ACCEPTED),
            },
        )
    ).scalar_one()
    return made_at


def _draft(group: Group, submission: Submission) -> Draft:
    event = submission.requested(group.spec(submission), group.kit_version(submission))
    return Draft(event, submission.job_id, submission.tenant_id, traceparent=submission.traceparent)
