"""One bucket for all replicas: a token comes back every third of a second, none is saved up."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Notion allows three requests a second on the average: https://developers.notion.com/reference/request-limits
REQUESTS_PER_SECOND = 3.0

_TAKE = text("""
WITH taken AS (
    UPDATE pace SET next_at = clock_timestamp() + make_interval(secs => :gap)
    WHERE name = 'notion' AND next_at <= clock_timestamp() RETURNING 1)
SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN 0
    ELSE greatest(0.001, extract(epoch FROM (SELECT next_at FROM pace WHERE name = 'notion') - clock_timestamp())) END
""")

_CLOSE = text("""
UPDATE pace SET next_at = greatest(next_at, clock_timestamp() + make_interval(secs => :seconds)) WHERE name = 'notion'
""")


async def take(conn: AsyncConnection, per_second: float) -> float:
    """Takes the token: 0 when it was there, otherwise the seconds after which to ask again."""
    return float((await conn.execute(_TAKE, {"gap": 1 / per_second})).scalar_one())


async def close(conn: AsyncConnection, seconds: float) -> None:
    """No token for so long, for anybody."""
    await conn.execute(_CLOSE, {"seconds": seconds})
