"""Deliveries: written with what they tell, claimed by lease, ended behind a fence, swept in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api_gateway.webhooks import Delivery, News, Outcome

# Asked first, because most tenants have none, and every body would be made and sent here in vain.
_LISTENING = text(
    "SELECT DISTINCT tenant_id FROM webhook "
    "WHERE tenant_id = ANY(:tenants) AND deleted_at IS NULL AND disabled_at IS NULL"
)
_TELL = text(
    "INSERT INTO webhook_delivery (webhook_id, tenant_id, job_id, event, body) "
    "SELECT webhook.id, news.tenant_id, news.job_id, news.event, news.body "
    "FROM unnest(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), CAST(:jobs AS uuid[]), CAST(:events AS text[]), "
    "CAST(:bodies AS text[])) AS news(tenant_id, user_id, job_id, event, body) "
    "JOIN webhook ON webhook.tenant_id = news.tenant_id AND news.event = ANY(webhook.events) "
    "AND (webhook.all_jobs OR webhook.user_id = news.user_id) "
    "WHERE webhook.deleted_at IS NULL AND webhook.disabled_at IS NULL"
)

# From one webhook with something pending to the next along the index: where one of them has a long backlog it is not
# read, and where nothing is pending this is one look.
# Chosen without locks, each webhook and each tenant up to its own limit and all of them in turn. Who comes second with
# the same choice finds the rows locked, or leased when he has waited.
_CLAIM = text(
    "WITH RECURSIVE waiting(webhook_id) AS ("
    "(SELECT webhook_id FROM webhook_delivery WHERE state = 'pending' ORDER BY webhook_id LIMIT 1) "
    "UNION ALL SELECT (SELECT webhook_id FROM webhook_delivery WHERE state = 'pending' "
    "AND webhook_id > waiting.webhook_id ORDER BY webhook_id LIMIT 1) "
    "FROM waiting WHERE waiting.webhook_id IS NOT NULL), "
    "due AS (SELECT found.id, found.due_at, "
    "row_number() OVER (PARTITION BY webhook.tenant_id ORDER BY found.turn, found.due_at) "
    "+ coalesce(tenant.busy, 0) AS place "
    "FROM waiting JOIN webhook ON webhook.id = waiting.webhook_id "
    "LEFT JOIN unnest(CAST(:webhooks AS uuid[]), CAST(:of_webhooks AS int[])) AS own(id, busy) ON own.id = webhook.id "
    "LEFT JOIN unnest(CAST(:tenants AS uuid[]), CAST(:of_tenants AS int[])) AS tenant(id, busy) "
    "ON tenant.id = webhook.tenant_id "
    "CROSS JOIN LATERAL (SELECT id, due_at, row_number() OVER (ORDER BY due_at) AS turn FROM ("
    "SELECT id, due_at FROM webhook_delivery WHERE webhook_id = webhook.id AND state = 'pending' AND due_at <= now() "
    "ORDER BY due_at LIMIT greatest(0, CAST(:each AS int) - coalesce(own.busy, 0))) AS first) AS found "
    "WHERE webhook.deleted_at IS NULL AND webhook.disabled_at IS NULL), "
    "chosen AS (SELECT delivery.id FROM due JOIN webhook_delivery AS delivery USING (id) "
    "WHERE due.place <= :of_tenant AND delivery.state = 'pending' AND delivery.due_at <= now() "
    "ORDER BY due.place, due.due_at LIMIT :places FOR UPDATE OF delivery SKIP LOCKED) "
    "UPDATE webhook_delivery AS mine SET epoch = mine.epoch + 1, attempts = mine.attempts + 1, leased = true, "
    "due_at = now() + CAST(:lease AS interval) "
    "FROM chosen, webhook WHERE mine.id = chosen.id AND webhook.id = mine.webhook_id "
    "RETURNING mine.id, mine.webhook_id, mine.tenant_id, mine.job_id, mine.event, mine.body, webhook.url, "
    "mine.attempts, mine.epoch, now()"
)
_END = text(
    "UPDATE webhook_delivery SET state = :state, leased = false, status = :status, error = :error, "
    "due_at = coalesce(now() + CAST(:wait AS interval), due_at), "
    "ended_at = CASE WHEN CAST(:state AS text) <> 'pending' THEN now() END "
    "WHERE id = :id AND epoch = :epoch AND state = 'pending'"
)
_DISABLE = text(
    "UPDATE webhook SET disabled_at = now(), disabled_reason = :reason WHERE id = :id AND disabled_at IS NULL"
)
_GIVE_UP = text(
    "UPDATE webhook_delivery SET state = 'given_up', leased = false, error = 'the webhook is disabled', "
    "ended_at = now() WHERE id IN (SELECT delivery.id FROM webhook JOIN webhook_delivery AS delivery "
    "ON delivery.webhook_id = webhook.id AND delivery.state = 'pending' WHERE webhook.disabled_at IS NOT NULL "
    "AND (NOT delivery.leased OR delivery.due_at <= now()) "
    "LIMIT :limit FOR UPDATE OF delivery SKIP LOCKED)"
)
_FORGET = text(
    "DELETE FROM webhook_delivery WHERE id IN (SELECT delivery.id FROM webhook JOIN webhook_delivery AS delivery "
    "ON delivery.webhook_id = webhook.id WHERE webhook.deleted_at IS NOT NULL "
    "LIMIT :limit FOR UPDATE OF delivery SKIP LOCKED)"
)
_SWEEP = text(
    "DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery "
    "WHERE ended_at <= now() - make_interval(secs => :keep) ORDER BY ended_at LIMIT :limit FOR UPDATE SKIP LOCKED)"
)
# Not before the last transaction is over that could still write a delivery for it.
_SWEEP_WEBHOOKS = text("DELETE FROM webhook WHERE deleted_at <= now() - make_interval(secs => :keep)")
_OLDEST = text(
    "SELECT extract(epoch FROM now() - pending_since)::float8 FROM webhook_delivery WHERE state = 'pending' "
    "ORDER BY pending_since LIMIT 1"
)


async def tell(conn: AsyncConnection, news: Sequence[News]) -> bool:
    """Writes a delivery of each of `news` for each webhook that hears of it, in the transaction of `conn`.

    Answers whether there is any.
    """
    if not news:
        return False
    tenants = {one.tenant_id for one in news}
    listening = set((await conn.execute(_LISTENING, {"tenants": list(tenants)})).scalars())
    heard = [one for one in news if one.tenant_id in listening]
    if not heard:
        return False
    values = {
        "tenants": [one.tenant_id for one in heard],
        "users": [one.user_id for one in heard],
        "jobs": [one.job_id for one in heard],
        "events": [one.name for one in heard],
        "bodies": [one.body for one in heard],
    }
    return (await conn.execute(_TELL, values)).rowcount > 0


class Deliveries:
    """Deliveries as the engine takes and ends them, each method a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(
        self,
        *,
        places: int,
        each: int,
        of_tenant: int,
        lease: float,
        webhooks: Mapping[UUID, int],
        tenants: Mapping[UUID, int],
    ) -> list[Delivery]:
        """Leases up to `places` deliveries that are due, for `lease` seconds.

        `each` and `of_tenant` are how many one webhook and one tenant may have at once; `webhooks` and `tenants` how
        many they have.
        """
        values = {
            "places": places,
            "each": each,
            "of_tenant": of_tenant,
            "lease": timedelta(seconds=lease),
            "webhooks": list(webhooks),
            "of_webhooks": list(webhooks.values()),
            "tenants": list(tenants),
            "of_tenants": list(tenants.values()),
        }
        async with self._engine.begin() as conn:
            return [Delivery(*row) for row in (await conn.execute(_CLAIM, values)).all()]

    async def end(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Writes what came of an attempt; False, and nothing is changed, where somebody else has claimed it since."""
        values = {
            "id": delivery.id,
            "epoch": delivery.epoch,
            "state": outcome.state,
            "status": outcome.status,
            "error": outcome.error,
            "wait": outcome.wait,
        }
        async with self._engine.begin() as conn:
            ours = (await conn.execute(_END, values)).rowcount == 1
            if ours and outcome.gone:
                await conn.execute(_DISABLE, {"id": delivery.webhook_id, "reason": outcome.error})
        return ours

    async def give_up(self, limit: int) -> int:
        """Gives up what is pending for webhooks that are disabled; answers how many."""
        async with self._engine.begin() as conn:
            return (await conn.execute(_GIVE_UP, {"limit": limit})).rowcount

    async def sweep(self, keep: float, limit: int) -> int:
        """Deletes the deliveries of deleted webhooks, and those that ended `keep` seconds ago; answers how many."""
        async with self._engine.begin() as conn:
            forgotten = (await conn.execute(_FORGET, {"limit": limit})).rowcount
            swept = (await conn.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
            await conn.execute(_SWEEP_WEBHOOKS, {"keep": keep})
        return max(forgotten, swept)

    async def oldest(self) -> float:
        """For how many seconds the oldest delivery has been pending; 0 where none is."""
        async with self._engine.connect() as conn:
            return float((await conn.execute(_OLDEST)).scalar() or 0.0)
