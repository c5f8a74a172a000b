"""What an operator gets of a record that nobody could handle."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from schemas.event import Event, Part
from schemas.topics import DEAD_LETTERS


class Header(Part):
    """A record header as it came; the value is base64 because it need not be text."""

    name: str
    value_base64: str | None


class DeadLettered(Event):
    """A record was set aside with its original bytes and position, so that it can be mended and sent again."""

    type: ClassVar[str] = "dev.backlot.record.dead_lettered.v1"
    topic: ClassVar[str] = DEAD_LETTERS.name

    service: str
    source_topic: str
    partition: int
    offset: int
    key_base64: str | None
    value_base64: str | None
    headers: list[Header]
    error_type: str
    error: str
    seen_at: datetime
