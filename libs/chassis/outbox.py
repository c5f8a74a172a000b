"""The outbox: events are rows of the transaction that made them true; the relay sends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import after_commit
from chassis.errors import Invalid
from chassis.ids import uuid7
from chassis.tracing import current_traceparent
from schemas.cloudevents import CloudEvent, encode_headers
from schemas.event import Event
from schemas.topics import DEAD_LETTERS

NOBODY = UUID(int=0)
"""The tenant of an event that is no tenant's own."""
EVENT_LIMIT = 1024 * 1024
# A dead letter carries a whole record as base64, beside its headers.
DEAD_LETTER_LIMIT = 3 * EVENT_LIMIT

_INSERT = text(
    "INSERT INTO outbox (id, topic, key, value, headers) "
    "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:topics AS text[]), CAST(:keys AS bytea[]), "
    "CAST(:bodies AS bytea[]), CAST(:headers AS text[]))"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An event about to be told. `subject` is the record's key; `traceparent` the context of the event that caused it.

    Without a `traceparent` the current span or request gives it; without an `id` a new UUIDv7 is made.
    """

    data: Event
    subject: UUID
    tenant_id: UUID
    traceparent: str | None = None
    id: UUID | None = None


class Outbox:
    """Where a service writes what it says. `source` is its CloudEvents source, e.g. `/services/cost-ledger`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._kick: Callable[[], None] | None = None

    def wake(self, kick: Callable[[], None]) -> None:
        """Has `kick` called after every transaction that wrote events; it must be quick and not raise."""
        self._kick = kick

    async def add(self, conn: AsyncConnection, drafts: Sequence[Draft]) -> None:
        """Writes `drafts` in the transaction of `conn`, in order, with one statement.

        Raises `Invalid` when an event with its headers is larger than 1 MiB.
        """
        if not drafts:
            return
        context = current_traceparent()
        now = datetime.now(UTC)
        rows = [self._row(draft, context, now) for draft in drafts]
        ids, topics, keys, values, headers = (list(column) for column in zip(*rows, strict=True))
        await conn.execute(_INSERT, {"ids": ids, "topics": topics, "keys": keys, "bodies": values, "headers": headers})
        if self._kick is not None:
            after_commit(conn, self._kick)

    def _row(self, draft: Draft, context: str | None, now: datetime) -> tuple[UUID, str, bytes, bytes, str]:
        event = CloudEvent(
            id=draft.id or uuid7(),
            source=self.source,
            subject=draft.subject,
            tenant_id=draft.tenant_id,
            time=now,
            data=draft.data,
            traceparent=_sound(draft.traceparent) or context,
        )
        value = draft.data.model_dump_json().encode()
        headers = to_json(dict(encode_headers(event))).decode()
        _check_size(draft.data, len(value) + len(headers))
        return event.id, draft.data.topic, str(draft.subject).encode(), value, headers


def _sound(traceparent: str | None) -> str | None:
    # It may come from a record an outsider wrote; version 00 has exactly this length (W3C Trace Context, 3.2.2).
    return traceparent if traceparent and len(traceparent) == 55 and traceparent.isascii() else None


def _check_size(data: Event, size: int) -> None:
    limit = DEAD_LETTER_LIMIT if data.topic == DEAD_LETTERS.name else EVENT_LIMIT
    if size > limit:
        raise Invalid(f"the event {data.type} would be {size} bytes, {limit} are allowed")
