"""Webhooks of a tenant, and the pages of what was delivered to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Who counts and adds at once waits for those who do too: the cap holds over all replicas.
_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('webhook/' || CAST(:tenant_id AS text), 0))")
_ADD = text(
    "INSERT INTO webhook (id, tenant_id, user_id, all_jobs, url, events, description) "
    "SELECT :id, :tenant_id, :user_id, :all_jobs, :url, CAST(:events AS text[]), :description "
    "WHERE (SELECT count(*) FROM webhook WHERE tenant_id = :tenant_id AND deleted_at IS NULL) < :most "
    "RETURNING id, user_id, all_jobs, url, events, description, created_at, disabled_at, disabled_reason"
)
_VISIBLE = "tenant_id = :tenant_id AND deleted_at IS NULL AND (CAST(:reader AS uuid) IS NULL OR user_id = :reader)"
_WEBHOOKS = (
    "SELECT id, user_id, all_jobs, url, events, description, created_at, disabled_at, disabled_reason"
    " FROM webhook WHERE "
)
_ONE = text(_WEBHOOKS + _VISIBLE + " AND id = :id")
_PAGE = text(_WEBHOOKS + _VISIBLE + " ORDER BY id DESC LIMIT :limit OFFSET :offset")
_COUNT_WEBHOOKS = "SELECT count(*) FROM webhook WHERE "
_COUNT = text(_COUNT_WEBHOOKS + _VISIBLE)
_DELETE = text("UPDATE webhook SET deleted_at = now() WHERE id = :id AND tenant_id = :tenant_id AND deleted_at IS NULL")
_OF_WEBHOOK = "webhook_id = :webhook_id AND tenant_id = :tenant_id AND (CAST(:state AS text) IS NULL OR state = :state)"
_DELIVERIES = (
    "SELECT id, job_id, event, state, attempts, leased, due_at, status, error, created_at, ended_at "
    "FROM webhook_delivery WHERE "
)
_PAGE_OF_DELIVERIES = text(_DELIVERIES + _OF_WEBHOOK + " ORDER BY n DESC LIMIT :limit OFFSET :offset")
_COUNT_OF_DELIVERIES = "SELECT count(*) FROM webhook_delivery WHERE "
_COUNT_DELIVERIES = text(_COUNT_OF_DELIVERIES + _OF_WEBHOOK)
# One that is on its way stays so: begun anew beside that, it would be sent twice at once.
_REDELIVER = text(
    "UPDATE webhook_delivery SET state = 'pending', ended_at = NULL, leased = leased AND due_at > now(), "
    "attempts = CASE WHEN leased AND due_at > now() THEN attempts ELSE 0 END, "
    "due_at = CASE WHEN leased AND due_at > now() THEN due_at ELSE now() END, "
    "pending_since = CASE WHEN state = 'pending' THEN pending_since ELSE now() END "
    "WHERE id = :id AND webhook_id = :webhook_id AND tenant_id = :tenant_id "
    "RETURNING id, job_id, event, state, attempts, leased, due_at, status, error, created_at, ended_at"
)


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook about to be kept. `all_jobs`: it hears of the whole tenant's jobs, else of its user's alone."""

    id: UUID
    user_id: UUID
    all_jobs: bool
    url: str
    events: list[str]
    description: str | None


@dataclass(frozen=True, slots=True)
class WebhookRow(NewWebhook):
    """A webhook as it is shown."""

    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it is shown. `due_at` of one that is not `leased` is when it is sent next."""

    id: UUID
    job_id: UUID
    event: str
    state: str
    attempts: int
    leased: bool
    due_at: datetime
    status: int | None
    error: str | None
    created_at: datetime
    ended_at: datetime | None


async def add_webhook(conn: AsyncConnection, tenant_id: UUID, new: NewWebhook, *, most: int) -> WebhookRow | None:
    """Keeps a webhook; None where the tenant has `most` already."""
    await conn.execute(_TURN, {"tenant_id": str(tenant_id)})
    row = (await conn.execute(_ADD, {**asdict(new), "tenant_id": tenant_id, "most": most})).one_or_none()
    return None if row is None else WebhookRow(*row)


async def read_webhook(
    conn: AsyncConnection, tenant_id: UUID, reader: UUID | None, webhook_id: UUID
) -> WebhookRow | None:
    """A webhook of the tenant (of the user `reader` alone, if given), or None."""
    row = (await conn.execute(_ONE, {"id": webhook_id, "tenant_id": tenant_id, "reader": reader})).one_or_none()
    return None if row is None else WebhookRow(*row)


async def list_webhooks(
    conn: AsyncConnection, tenant_id: UUID, reader: UUID | None, limit: int, offset: int
) -> tuple[Sequence[WebhookRow], int]:
    """Webhooks of the tenant (of the user `reader` alone, if given), newest first, and how many there are."""
    values = {"tenant_id": tenant_id, "reader": reader}
    rows = await conn.execute(_PAGE, {**values, "limit": limit, "offset": offset})
    return [WebhookRow(*row) for row in rows.all()], (await conn.execute(_COUNT, values)).scalar_one()


async def delete_webhook(conn: AsyncConnection, tenant_id: UUID, webhook_id: UUID) -> bool:
    """Marks a webhook as deleted: nothing is sent to it any more. Whether it was there."""
    return (await conn.execute(_DELETE, {"id": webhook_id, "tenant_id": tenant_id})).rowcount == 1


async def list_deliveries(
    conn: AsyncConnection, tenant_id: UUID, webhook_id: UUID, *, state: str | None, limit: int, offset: int
) -> tuple[Sequence[DeliveryRow], int]:
    """Deliveries of a webhook that the caller may see, newest first, and how many there are."""
    values = {"tenant_id": tenant_id, "webhook_id": webhook_id, "state": state}
    rows = await conn.execute(_PAGE_OF_DELIVERIES, {**values, "limit": limit, "offset": offset})
    return [DeliveryRow(*row) for row in rows.all()], (await conn.execute(_COUNT_DELIVERIES, values)).scalar_one()


async def redeliver(conn: AsyncConnection, tenant_id: UUID, webhook_id: UUID, delivery_id: UUID) -> DeliveryRow | None:
    """Begins a delivery anew, under its own id; None where there is none."""
    values = {"id": delivery_id, "webhook_id": webhook_id, "tenant_id": tenant_id}
    row = (await conn.execute(_REDELIVER, values)).one_or_none()
    return None if row is None else DeliveryRow(*row)
