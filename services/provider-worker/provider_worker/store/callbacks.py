"""Callbacks of providers: kept as they came, applied once, each in one transaction."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from provider_worker.adapters.interface import JobRef, WebhookEvent
from provider_worker.callbacks import Callback, Outcome
from provider_worker.store.rows import columns, reference_of, reference_text
from provider_worker.store.steps import is_taken
from provider_worker.tasks import Reference, State
from schemas.callbacks import ProviderCallbackReceived
from schemas.cloudevents import CloudEvent

_KEEP = text("""
    INSERT INTO callbacks (id, provider, attempt_id, headers, body, received_at)
    SELECT * FROM unnest(CAST(:id AS uuid[]), CAST(:provider AS text[]), CAST(:attempt AS uuid[]),
        CAST(:headers AS json[]), CAST(:body AS bytea[]), CAST(:received AS timestamptz[]))
    ON CONFLICT (id) DO NOTHING
""")

_DUE = text("""
    WITH due AS (
        SELECT id FROM callbacks WHERE next_at <= now() ORDER BY next_at LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE callbacks c SET next_at = now() + CAST(:again AS interval), tries = c.tries + 1
    FROM due WHERE c.id = due.id
    RETURNING c.id, c.provider, c.attempt_id, c.headers::text, c.body, c.received_at, c.tries,
        extract(epoch FROM now() - c.kept_at) AS age_s
""")

_HELD = text("SELECT id FROM callbacks WHERE id = :id AND tries = :tries AND done_at IS NULL FOR UPDATE")

# An id is looked for where it can still matter: a task that goes on, a bill that is open.
_BY_EXTERNAL = text("""
    SELECT attempt_id FROM tasks WHERE external ->> 'id' = :id AND external IS NOT NULL AND provider = :provider
    UNION ALL
    SELECT attempt_id FROM attempts WHERE external ->> 'id' = :id AND external IS NOT NULL AND provider = :provider
        AND billing = 'pending'
    LIMIT 1
""")

# Two callbacks about one attempt wait for each other here, so that the second one sees what the first one did.
_ATTEMPT = text("""
    SELECT a.attempt_id, a.provider, a.billing, a.external::text, t.id AS task_id, t.state,
        t.attempt_id = a.attempt_id AS is_present, t.external::text AS task_external
    FROM attempts a JOIN tasks t USING (job_id, item) WHERE a.attempt_id = :attempt FOR UPDATE OF t, a
""")

_IS_KNOWN = text("SELECT EXISTS (SELECT FROM callbacks WHERE provider = :provider AND delivery = :delivery)")

_LOOK_NOW = text("""
    UPDATE tasks SET next_at = least(next_at, now()), external = coalesce(CAST(:external AS json), external)
    WHERE id = :id
""")

# Counted as a lookup, so that one under way, which knows nothing of this, cannot put the next one off. Where the job
# has a name now, the provider can be asked again, and no operator has to.
_LOOK_UP_NOW = text("""
    UPDATE attempts SET lookup_at = now(), lookups = lookups + 1,
        flagged_at = CASE WHEN CAST(:external_id AS text) IS NULL THEN flagged_at END,
        external = coalesce(CAST(:external AS json), external),
        external_id = coalesce(external_id, CAST(:external_id AS text))
    WHERE attempt_id = :attempt
""")

_CLOSE = text("""
    UPDATE callbacks SET done_at = now(), next_at = NULL, body = NULL, outcome = :outcome, delivery = :delivery
    WHERE id = :id AND tries = :tries AND done_at IS NULL
""")

_POSTPONE = text("""
    UPDATE callbacks SET next_at = now() + CAST(:wait AS interval)
    WHERE id = :id AND tries = :tries AND done_at IS NULL
""")

_FORGET = text("""
    DELETE FROM callbacks WHERE id IN (
        SELECT id FROM callbacks WHERE done_at < now() - CAST(:age AS interval)
        ORDER BY done_at LIMIT :most FOR UPDATE SKIP LOCKED)
""")


async def keep(conn: AsyncConnection, events: Sequence[CloudEvent[ProviderCallbackReceived]]) -> None:
    """Writes down what came; nothing is checked here."""
    rows = [
        (
            event.id,
            event.data.provider,
            event.data.attempt_id,
            to_json(event.data.headers).decode(),
            b64decode(event.data.body_base64),
            event.time,
        )
        for event in events
    ]
    if rows:
        await conn.execute(_KEEP, columns(rows, "id provider attempt headers body received"))


class CallbackDatabase:
    """The callbacks that were kept. Each call is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def due(self, most: int, again_in_s: float) -> Sequence[Callback]:
        """Takes what is due; it is due again after `again_in_s` seconds if nobody ends it."""
        async with self._engine.begin() as conn:
            found = await conn.execute(_DUE, {"most": most, "again": timedelta(seconds=again_in_s)})
            return [_callback(row) for row in found]

    async def apply(self, callback: Callback, event: WebhookEvent) -> Outcome:
        """What became of it. UNKNOWN_JOB and BUSY may pass, and leave it open; all others close it."""
        async with self._engine.begin() as conn:
            if (await conn.execute(_HELD, {"id": callback.id, "tries": callback.tries})).first() is None:
                return Outcome.FENCED
            found = await _attempt(conn, callback, event)
            if found is None:
                return Outcome.UNKNOWN_JOB
            delivery = f"{found.attempt_id}:{event.delivery_id}"
            if await conn.scalar(_IS_KNOWN, {"provider": callback.provider, "delivery": delivery}):
                await _close(conn, callback, Outcome.DUPLICATE)
                return Outcome.DUPLICATE
            ref = await _free(conn, callback.provider, found, event.ref)
            outcome = await _told(conn, callback.provider, found, ref)
            if outcome is not Outcome.BUSY:
                await _close(conn, callback, outcome, delivery)
            return outcome

    async def close(self, callback: Callback, outcome: Outcome) -> None:
        """Ends it without an effect."""
        async with self._engine.begin() as conn:
            await _close(conn, callback, outcome)

    async def postpone(self, callback: Callback, seconds: float) -> None:
        async with self._engine.begin() as conn:
            wait = timedelta(seconds=seconds)
            await conn.execute(_POSTPONE, {"id": callback.id, "tries": callback.tries, "wait": wait})

    async def forget(self, age_s: float, most: int = 1000) -> int:
        """Deletes what was done with `age_s` seconds ago; says how many there were."""
        async with self._engine.begin() as conn:
            return (await conn.execute(_FORGET, {"age": timedelta(seconds=age_s), "most": most})).rowcount


def _callback(row: Row[Any]) -> Callback:
    return Callback(
        id=row.id,
        provider=row.provider,
        attempt_id=row.attempt_id,
        headers=from_json(row.headers),
        body=bytes(row.body),
        received_at=row.received_at,
        tries=row.tries,
        age_s=float(row.age_s),
    )


async def _attempt(conn: AsyncConnection, callback: Callback, event: WebhookEvent) -> Row[Any] | None:
    """The attempt it is about, locked with its task: by the address, our reference, or the provider's id."""
    attempt = callback.attempt_id or _uuid(event.reference)
    if attempt is None and event.ref is not None:
        known = {"id": event.ref.external_id, "provider": callback.provider}
        attempt = await conn.scalar(_BY_EXTERNAL, known)
    if attempt is None:
        return None
    return (await conn.execute(_ATTEMPT, {"attempt": attempt})).first()


async def _free(conn: AsyncConnection, provider: str, found: Row[Any], ref: JobRef | None) -> JobRef | None:
    """`ref`, if its job is no other attempt's."""
    if ref is None or await is_taken(conn, provider, ref.external_id, found.attempt_id):
        return None
    return ref


async def _told(conn: AsyncConnection, provider: str, found: Row[Any], ref: JobRef | None) -> Outcome:
    """Has the provider looked at now; its job is linked where we have no name for it."""
    if found.provider != provider:
        return Outcome.ELSEWHERE
    if found.is_present and found.state == State.LEASED:
        return Outcome.BUSY
    if found.is_present and found.state == State.POLLING:
        linked = _linked(reference_of(found.task_external), ref)
        await conn.execute(_LOOK_NOW, {"id": found.task_id, "external": reference_text(linked)})
    elif found.billing == "pending":
        linked = _linked(reference_of(found.external), ref)
        external_id = linked.external_id if linked else None
        change = {"attempt": found.attempt_id, "external": reference_text(linked), "external_id": external_id}
        await conn.execute(_LOOK_UP_NOW, change)
    else:
        return Outcome.LATE
    return Outcome.HINTED if linked is None else Outcome.LINKED


def _linked(known: Reference | None, ref: JobRef | None) -> Reference | None:
    """The reference with the provider's name for the job; None where that is known, or may be another phase's."""
    reference = known or Reference(None)
    if ref is None or reference.external_id is not None or reference.phase > 1:
        return None
    return replace(reference, external_id=ref.external_id, data=ref.data)


async def _close(conn: AsyncConnection, callback: Callback, outcome: Outcome, delivery: str | None = None) -> None:
    change = {"id": callback.id, "tries": callback.tries, "outcome": outcome.value, "delivery": delivery}
    await conn.execute(_CLOSE, change)


def _uuid(reference: str | None) -> UUID | None:
    try:
        return UUID(reference or "")
    except ValueError:
        return None
