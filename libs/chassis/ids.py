"""UUIDv7 identifiers (RFC 9562): ordered by the millisecond they were made in."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    """A new identifier, greater than those made before it in this process."""
    return _uuid7()


def is_uuid7(value: UUID) -> bool:
    """Whether `value` carries its time of birth."""
    bits = value.int
    return (bits >> 76) & 0xF == 7 and (bits >> 62) & 0b11 == 0b10  # RFC 9562, 5.7


def uuid7_time(value: UUID) -> datetime:
    """When `value` was made, by its maker's clock, to the millisecond."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def uuid7_floor(moment: datetime) -> UUID:
    """The lowest identifier that can be made at `moment`: a range boundary, not a valid UUIDv7."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
