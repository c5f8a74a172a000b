"""The outbox relay: the only thing that produces to Kafka. One process per database leads and sends; others stand by.

Leadership is an advisory lock on the same connection that reads and moves the rows, so a lost lock is a lost
connection. Rows leave in the order of their numbers, which is commit order for rows of one key as long as whoever
writes them holds a lock on the thing the key names.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from chassis import metrics
from chassis.dsn import raw_dsn
from chassis.loops import Backoff, sleep_until
from chassis.sender import Sender, Sent
from chassis.telemetry import get_logger

log = get_logger()

_LOCK = 0x6F7574626F78  # "outbox"
_CHANNEL = "outbox"

_SELECT = """
SELECT n, topic, key, value, headers FROM outbox WHERE n > $3 AND topic <> ALL($2::text[]) ORDER BY n LIMIT $1
"""
_AGE = "SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM outbox ORDER BY n LIMIT 1"
_MOVE = """
WITH sent AS (DELETE FROM outbox WHERE n = ANY($1::bigint[]) RETURNING *)
INSERT INTO outbox_published (n, id, topic, key, value, headers, created_at)
SELECT n, id, topic, key, value, headers, created_at FROM sent
"""
_PARK = """
WITH dead AS (DELETE FROM outbox WHERE n = $1 RETURNING *)
INSERT INTO outbox_dead (n, id, topic, key, value, headers, created_at, error)
SELECT n, id, topic, key, value, headers, created_at, $2 FROM dead
"""

# A lost move means rows sent twice, which every inbox absorbs; waiting for the disk at each round buys nothing.
_SERVER_SETTINGS = {
    "timezone": "UTC",
    "synchronous_commit": "off",
    "statement_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_AGE_INTERVAL = 1.0
# Moved rows stay in the index until no transaction of the database is older than their removal; behind a long one each
# look from the start would walk over all of them. So most looks begin this far behind the newest row sent, and only
# some from the start, for rows whose transaction took its numbers long ago.
_LOOK_BACK = 20_000
_FULL_LOOK_INTERVAL = 5.0
_FORWARD_INTERVAL = 0.02


class Relay:
    """`run` until `stop`; `kick` after a commit that wrote events. `poll` is how often it looks unasked, in seconds."""

    def __init__(
        self,
        dsn: str,
        bootstrap: str,
        *,
        service: str,
        batch: int = 500,
        poll: float = 1.0,
        send_deadline: float = 30.0,
        full_look: float = _FULL_LOOK_INTERVAL,
    ) -> None:
        self._dsn = raw_dsn(dsn)
        self._service = service
        self._batch = batch
        self._poll = poll
        self._sender = Sender(bootstrap, client_id=f"{service}-relay", deadline=send_deadline)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._age_read_at = float("-inf")
        self._full_look = full_look
        self._full_look_at = float("-inf")
        self._newest = 0
        self.leader = False
        self.unsent_age = 0.0
        self.sent = 0
        self.failures = 0

    def kick(self) -> None:
        """There are new rows: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Stands by, leads, and begins again after any trouble, until stopped."""
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                await self._session(backoff)
            except Exception as error:
                await self._back_off("relay_database_failed", error, backoff)
        await self._sender.close()

    async def stop(self) -> None:
        """Sends what is there, once, and ends `run`."""
        self._stopping.set()
        self._wake.set()

    async def _session(self, backoff: Backoff) -> None:
        conn = await asyncpg.connect(
            self._dsn,
            timeout=10,
            command_timeout=40,
            server_settings={**_SERVER_SETTINGS, "application_name": f"{self._service}-relay"},
        )
        try:
            if await self._stand_by(conn):
                self._set_leader(True)
                await conn.add_listener(_CHANNEL, lambda *_: self._wake.set())
                await self._lead(conn, backoff)
        finally:
            self._set_leader(False)
            await _close(conn)

    async def _stand_by(self, conn: Any) -> bool:
        """True when this process has become the leader, False when it is to stop.

        Meanwhile kicks of this process are passed on to the leader, on this connection and at most 50 a second: a
        NOTIFY inside the writing transactions would serialise their commits.
        """
        while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            if self._stopping.is_set():
                return False
            if await self._nap():
                await conn.execute("SELECT pg_notify($1, '')", _CHANNEL)
                await asyncio.sleep(_FORWARD_INTERVAL)
        return True

    async def _lead(self, conn: Any, backoff: Backoff) -> None:
        while True:
            last = self._stopping.is_set()
            self._wake.clear()
            count, failure = await self._round(conn)
            if failure is not None:
                if last:
                    return
                await self._back_off("relay_send_failed", failure, backoff)
                continue
            backoff.reset()
            if count < self._batch:
                if last:
                    return
                await self._nap()

    async def _round(self, conn: Any) -> tuple[int, BaseException | None]:
        await self._read_age(conn)
        floor = self._floor()
        rows = await conn.fetch(_SELECT, self._batch, self._sender.paused_topics(), floor)
        if len(rows) < self._batch and floor == 0:
            self._full_look_at = asyncio.get_running_loop().time()
        if not rows:
            return 0, None
        sent = await self._sender.send(rows)
        await self._settle(conn, sent)
        return len(sent.acked), sent.failure

    def _floor(self) -> int:
        due = asyncio.get_running_loop().time() - self._full_look_at > self._full_look
        return 0 if due else max(0, self._newest - _LOOK_BACK)

    async def _settle(self, conn: Any, sent: Sent) -> None:
        if sent.acked:
            await conn.execute(_MOVE, sent.acked)
            self.sent += len(sent.acked)
            self._newest = max(self._newest, *sent.acked)
            metrics.RELAY_SENT.inc(len(sent.acked))
        for n, error in sent.poison:
            await conn.execute(_PARK, n, error)
            metrics.RELAY_PARKED.inc()
            log.error("outbox_row_parked", n=n, error=error, table="outbox_dead")

    async def _read_age(self, conn: Any) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._age_read_at < _AGE_INTERVAL:
            return
        self._age_read_at = now
        self.unsent_age = await conn.fetchval(_AGE) or 0.0
        metrics.RELAY_UNSENT_AGE.set(self.unsent_age)

    async def _nap(self) -> bool:
        """Waits for a kick, a notification or the poll; True when woken."""
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll)
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _back_off(self, what: str, error: BaseException, backoff: Backoff) -> None:
        self.failures += 1
        metrics.RELAY_FAILURES.inc()
        wait = backoff.next()
        log.warning(what, error=repr(error), retry_in=round(wait, 2))
        await sleep_until(wait, self._stopping)

    def _set_leader(self, leader: bool) -> None:
        if leader != self.leader:
            log.info("relay_leads" if leader else "relay_stopped_leading")
        self.leader = leader
        metrics.RELAY_LEADER.set(leader)


async def _close(conn: Any) -> None:
    try:
        await conn.close(timeout=5)
    except Exception as error:
        log.debug("relay_connection_not_closed", error=repr(error))
