"""One row for each provider's account: how many calls are left, and whether its breaker is open. Shared by replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from provider_worker.routing import Account
from provider_worker.tasks import Closed
from schemas.parts import ErrorCode

FAILURES_TO_OPEN = 5
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 30.0
PROBE_S = 5.0
"""How long the one call after an open breaker may take before another one is let through. Short, because what waits
behind it waits as long, and a picture may take longer: a few calls more at a provider that is down open it again."""

_ENSURE = text("""
    INSERT INTO accounts (provider) SELECT unnest(CAST(:providers AS text[])) ON CONFLICT (provider) DO NOTHING
""")

_LOCK = text("""
    SELECT provider, tokens, extract(epoch FROM clock_timestamp() - refilled_at) AS idle_s, code, message,
        extract(epoch FROM opened_until - clock_timestamp()) AS open_s
    FROM accounts WHERE provider = ANY(CAST(:providers AS text[])) ORDER BY provider FOR UPDATE
""")

_TAKE = text("""
    UPDATE accounts a SET tokens = u.tokens, refilled_at = clock_timestamp(),
        opened_until = CASE WHEN u.probing THEN clock_timestamp() + CAST(:probe AS interval) ELSE a.opened_until END
    FROM unnest(CAST(:providers AS text[]), CAST(:tokens AS float8[]), CAST(:probing AS boolean[]))
        u(provider, tokens, probing)
    WHERE a.provider = u.provider
""")

_FAILED = text("""
    INSERT INTO accounts AS a (provider, failures, opened_until, code, message)
    VALUES (:provider, 1, now() + CAST(:open_s AS float8) * interval '1 s', :code, :message)
    ON CONFLICT (provider) DO UPDATE SET failures = a.failures + 1, code = excluded.code, message = excluded.message,
        opened_until = CASE
            WHEN CAST(:open_s AS float8) IS NOT NULL THEN greatest(a.opened_until, excluded.opened_until)
            WHEN a.failures + 1 >= :threshold THEN greatest(a.opened_until, now()
                + least(:longest, :first * power(2, least(a.failures + 1 - :threshold, 10))) * interval '1 s')
            ELSE a.opened_until END
""")

_UNPROVEN = text("UPDATE accounts SET opened_until = now() WHERE provider = :provider AND opened_until > now()")

_WELL = text("""
    UPDATE accounts SET failures = 0, opened_until = NULL, code = NULL, message = NULL
    WHERE provider = :provider AND (failures > 0 OR opened_until IS NOT NULL)
""")

_TROUBLED = text("""
    SELECT provider, code, message, coalesce(extract(epoch FROM opened_until - now()), 0) AS open_s
    FROM accounts WHERE failures > 0 OR opened_until IS NOT NULL
""")


@dataclass(slots=True)
class Room:
    """What a locked account allows now. `tokens` None: it has no bucket. `closed`: its tasks are handed out unsent."""

    tokens: float | None
    concurrency: int | None
    probing: bool
    closed: Closed | None

    @property
    def calls(self) -> int | None:
        """How many calls may go out; None is any number."""
        if self.closed is not None:
            return None
        most = [1] if self.probing else []
        if self.tokens is not None:
            most.append(max(0, int(self.tokens)))
        return min(most, default=None)


async def ensure(conn: AsyncConnection, providers: Sequence[str]) -> None:
    """A row for each of these."""
    await conn.execute(_ENSURE, {"providers": sorted(providers)})


async def lock(conn: AsyncConnection, providers: Sequence[str], accounts: Mapping[str, Account]) -> dict[str, Room]:
    """What each of these allows, locked until the transaction ends."""
    found = await conn.execute(_LOCK, {"providers": sorted(providers)})
    rooms = {}
    for row in found:
        account = accounts.get(row.provider, Account())
        tokens = None
        if account.burst is not None:
            held = account.burst if row.tokens is None else float(row.tokens)
            tokens = min(account.burst, held + max(0.0, float(row.idle_s)) * account.per_s)
        open_s = None if row.open_s is None else float(row.open_s)
        closed = None
        if open_s is not None and open_s > 0:
            closed = Closed(ErrorCode(row.code), row.message, open_s)
        rooms[row.provider] = Room(tokens, account.concurrency, open_s is not None and closed is None, closed)
    return rooms


async def take(conn: AsyncConnection, rooms: Mapping[str, Room], calls: Mapping[str, int]) -> None:
    """Writes down how many calls go out to each of the locked accounts."""
    going = {name: room for name, room in rooms.items() if calls.get(name) and room.closed is None}
    if not going:
        return
    await conn.execute(
        _TAKE,
        {
            "providers": list(going),
            "tokens": [None if room.tokens is None else room.tokens - calls[name] for name, room in going.items()],
            "probing": [room.probing for room in going.values()],
            "probe": timedelta(seconds=PROBE_S),
        },
    )


async def take_one(conn: AsyncConnection, provider: str, accounts: Mapping[str, Account]) -> bool:
    """Takes one call's token; False where there is none yet."""
    account = accounts.get(provider)
    if account is None or account.burst is None:
        return True
    room = (await lock(conn, [provider], accounts)).get(provider)
    if room is None or room.tokens is None:
        return True
    if room.tokens < 1:
        return False
    await take(conn, {provider: room}, {provider: 1})
    return True


async def failed(conn: AsyncConnection, provider: str, code: ErrorCode, message: str, open_s: float | None) -> None:
    """A call failed: the breaker opens for `open_s` seconds, or once there were enough failures in a row."""
    await conn.execute(
        _FAILED,
        {
            "provider": provider,
            "code": code.value,
            "message": message,
            "open_s": open_s,
            "threshold": FAILURES_TO_OPEN,
            "first": FIRST_OPEN_S,
            "longest": LONGEST_OPEN_S,
        },
    )


async def unproven(conn: AsyncConnection, provider: str) -> None:
    """The call that was let through has proven nothing: the next one may go."""
    await conn.execute(_UNPROVEN, {"provider": provider})


async def well(conn: AsyncConnection, provider: str) -> None:
    """A call went well: the failures before it are forgotten."""
    await conn.execute(_WELL, {"provider": provider})


async def troubled(conn: AsyncConnection) -> dict[str, Closed]:
    """Every account whose last calls failed; open for the seconds that are left, 0 where it is closed again."""
    found = await conn.execute(_TROUBLED)
    return {row.provider: Closed(ErrorCode(row.code), row.message, max(0.0, float(row.open_s))) for row in found}
