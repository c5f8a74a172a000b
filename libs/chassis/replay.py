"""Sends published events again, with the same ids: for a log that was lost or cut short.

`python -m chassis.replay --dsn postgresql://... --since 2026-01-31T10:00:00Z [--topic backlot.jobs] [--key JOB_ID]`

The rows go back into the outbox, from where the relay sends them as it sends everything; consumers that know them pass
them over. Published rows are kept for a day.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime

import asyncpg

from chassis.dsn import raw_dsn

# A row that was itself replayed stands in outbox_published once more: each event is sent once.
_REPLAY = """
WITH chosen AS (
    SELECT DISTINCT ON (id) n, id, topic, key, value, headers FROM outbox_published
    WHERE published_at >= $1 AND ($2::text IS NULL OR topic = $2) AND ($3::bytea IS NULL OR key = $3)
    ORDER BY id, n
)
INSERT INTO outbox (id, topic, key, value, headers)
SELECT id, topic, key, value, headers FROM chosen ORDER BY n
"""
_COUNT = """
SELECT count(DISTINCT id) FROM outbox_published
WHERE published_at >= $1 AND ($2::text IS NULL OR topic = $2) AND ($3::bytea IS NULL OR key = $3)
"""


async def replay(
    dsn: str, *, since: datetime, topic: str | None = None, key: str | None = None, dry_run: bool = False
) -> int:
    """Puts what was published at or after `since` back into the outbox, in its order; answers how many events.

    `key` is a record's key (a job id). With `dry_run` they are only counted.
    """
    conn = await asyncpg.connect(raw_dsn(dsn), server_settings={"application_name": "replay", "timezone": "UTC"})
    try:
        arguments = (since, topic, key.encode() if key is not None else None)
        if dry_run:
            return int(await conn.fetchval(_COUNT, *arguments))
        status = await conn.execute(_REPLAY, *arguments)
        return int(status.rsplit(" ", 1)[-1])
    finally:
        await conn.close()


def main(arguments: list[str] | None = None) -> int:
    """The command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chassis.replay", description="Send published events again.")
    parser.add_argument("--dsn", required=True, help="database of the service whose events are sent again")
    parser.add_argument("--since", required=True, type=_moment, help="published at or after this time, ISO 8601")
    parser.add_argument("--topic", help="only this topic")
    parser.add_argument("--key", help="only records with this key, e.g. a job id")
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    chosen = parser.parse_args(arguments)
    count = asyncio.run(
        replay(chosen.dsn, since=chosen.since, topic=chosen.topic, key=chosen.key, dry_run=chosen.dry_run)
    )
    sys.stdout.write(f"{count} events {'would be' if chosen.dry_run else 'are'} sent again\n")
    return 0


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no ISO 8601 time") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: add Z for UTC")
    return moment


if __name__ == "__main__":
    raise SystemExit(main())
