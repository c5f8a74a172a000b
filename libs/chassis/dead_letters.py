"""Records nobody can handle, as events for an operator: original bytes, headers, position and error."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from chassis.outbox import NOBODY, Draft
from schemas.cloudevents import CloudEvent
from schemas.dead_letters import DeadLettered, Header
from schemas.event import Event

LARGEST_VALUE = 3 * 512 * 1024
_MAX_MILLISECONDS = (1 << 48) - 1


class Record(Protocol):
    """What is used of a Kafka record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @property
    def headers(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Dead:
    """A record to set aside, why, and the event in it where there is one.

    `ours` counts towards the halt: one of our own types failed, so a producer or a handler of ours is at fault.
    """

    record: Record
    error: Exception
    ours: bool
    event: CloudEvent[Event] | None = None

    @property
    def inbox_id(self) -> UUID:
        """What marks it as done: the event's id, or one made of the position when there is no event to apply."""
        return self.event.id if self.event is not None else position_id(self.record)


def position_id(record: Record) -> UUID:
    """The same UUIDv7 each time for the record at this position, so that its dead letter is told once."""
    digest = hashlib.sha256(f"{record.topic}/{record.partition}/{record.offset}".encode()).digest()
    milliseconds = min(max(record.timestamp or 0, 0), _MAX_MILLISECONDS)
    value = milliseconds << 80 | int.from_bytes(digest[:10])
    return UUID(int=value & ~(0xF000 << 64) & ~(0xC000 << 48) | 7 << 76 | 2 << 62)


def draft(service: str, dead: Dead) -> Draft:
    """The dead letter of `dead`, ready for the outbox."""
    record, event = dead.record, dead.event
    error = str(dead.error)
    if len(record.value or b"") > LARGEST_VALUE:
        error = f"{error} (its {len(record.value)} bytes are left at their position: too many for a dead letter)"
    return Draft(
        DeadLettered(
            service=service,
            source_topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key_base64=_base64(record.key),
            value_base64=_base64(record.value) if len(record.value or b"") <= LARGEST_VALUE else None,
            headers=[Header(name=str(name), value_base64=_base64(value)) for name, value in record.headers or ()],
            error_type=type(dead.error).__name__,
            error=_printable(error)[:2000],
            seen_at=datetime.now(UTC),
        ),
        subject=event.subject if event is not None else position_id(record),
        tenant_id=event.tenant_id if event is not None else NOBODY,
        traceparent=event.traceparent if event is not None else None,
    )


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()


def _printable(text: str) -> str:
    """`text` as UTF-8 can carry it: an error may quote a lone surrogate of the record it is about."""
    return text.encode("utf-8", "replace").decode()
