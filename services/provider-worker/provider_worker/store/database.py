"""The engine's view of the database: `engine.ports.TaskStore`, each call one transaction, steps in groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import is_transient
from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from chassis.outbox import Draft, Outbox
from provider_worker.routing import Account
from provider_worker.store import accounts, bills, claims, steps, upkeep
from provider_worker.tasks import (
    Claimed,
    Closed,
    CountedBills,
    ListedBill,
    OpenBill,
    Pool,
    Revived,
    SettledBill,
    Staged,
    Step,
    Written,
)
from schemas.events import GenerationSettled
from schemas.parts import ErrorCode

MOST_IN_A_GROUP = 200


class TaskDatabase:
    """Tasks in PostgreSQL. Errors that pass come out as `Transient`. `asks`: what this process can ask; None: any."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        *,
        currency: str,
        price_version: str,
        accounts: Mapping[str, Account] | None = None,
        asks: Collection[str] | None = None,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._currency = currency
        self._price_version = price_version
        self._accounts = accounts or {}
        self._asks = asks
        self._group: GroupCommit[Step, Written] = GroupCommit(self._flush, limit=MOST_IN_A_GROUP)

    async def claim(self, pools: Sequence[Pool], limit: int, lease_s: float) -> Claimed:
        async with self._transaction() as conn:
            return await claims.claim(
                conn, self._outbox, pools, self._accounts, limit=limit, lease_s=lease_s, asks=self._asks
            )

    async def write(self, step: Step) -> Written:
        return await self._group.submit(step)

    async def _flush(self, group: Sequence[Step]) -> Sequence[Written | Exception]:
        try:
            async with self._transaction() as conn:
                return await steps.write(conn, self._outbox, group, self._price_version, self._accounts)
        except Transient:
            raise
        except Exception as error:
            if len(group) == 1:
                return [error]
        # One of them cannot be written: each by itself, so that it takes nobody with it.
        return [answer for step in group for answer in await self._flush([step])]

    async def is_taken(self, provider: str, external_id: str, attempt_id: UUID) -> bool:
        async with self._transaction() as conn:
            return await steps.is_taken(conn, provider, external_id, attempt_id)

    async def renew(self, leases: Sequence[tuple[int, int]], lease_s: float) -> set[int]:
        async with self._transaction() as conn:
            return await upkeep.renew(conn, leases, lease_s)

    async def hand_back(self, leases: Sequence[tuple[int, int]]) -> None:
        async with self._transaction() as conn:
            await upkeep.hand_back(conn, leases)

    async def revive(self) -> Revived:
        async with self._transaction() as conn:
            return await upkeep.revive(conn)

    async def announce_forgotten(self) -> int:
        async with self._transaction() as conn:
            return await upkeep.announce_forgotten(conn)

    async def ask_again(self, age_s: float) -> int:
        async with self._transaction() as conn:
            return await upkeep.ask_again(conn, self._outbox, age_s=age_s, currency=self._currency)

    async def open_bills(self, most: int, again_in_s: float) -> Sequence[OpenBill]:
        async with self._transaction() as conn:
            return await bills.due(conn, most, again_in_s)

    async def count_bills(self) -> Sequence[CountedBills]:
        async with self._transaction() as conn:
            return await bills.counted(conn)

    async def list_bills(self) -> Sequence[ListedBill]:
        """Every open bill, the oldest first."""
        async with self._transaction() as conn:
            return await bills.listed(conn)

    async def take_bill(self, attempt_id: UUID) -> OpenBill | None:
        """One open bill, whoever else is looking it up; None where it is not open."""
        async with self._transaction() as conn:
            return await bills.taken(conn, attempt_id)

    async def settled_bill(self, attempt_id: UUID) -> SettledBill | None:
        """What an attempt came to; None while that is not known, or where there is no such attempt."""
        async with self._transaction() as conn:
            return await bills.settled(conn, attempt_id)

    async def settle(self, bill: OpenBill, event: GenerationSettled, staged: Staged | None) -> bool:
        job = bill.task.job
        async with self._transaction() as conn:
            settled = await bills.settle(conn, bill, event.billing, event.evidence, staged)
            if settled:
                await self._outbox.add(conn, [Draft(event, job.job_id, job.tenant_id, job.traceparent)])
            return settled

    async def postpone(self, bill: OpenBill, seconds: float, *, flagged: bool) -> None:
        async with self._transaction() as conn:
            await bills.postpone(conn, bill, seconds, flagged=flagged)

    async def provider_failed(self, provider: str, code: ErrorCode, message: str, open_s: float | None) -> None:
        async with self._transaction() as conn:
            await accounts.failed(conn, provider, code, message, open_s)

    async def provider_unproven(self, provider: str) -> None:
        async with self._transaction() as conn:
            await accounts.unproven(conn, provider)

    async def provider_well(self, provider: str) -> None:
        async with self._transaction() as conn:
            await accounts.well(conn, provider)

    async def troubled(self) -> Mapping[str, Closed]:
        async with self._transaction() as conn:
            return await accounts.troubled(conn)

    async def closed_long_ago(self, age_s: float) -> Mapping[UUID, Sequence[str]]:
        async with self._transaction() as conn:
            return await upkeep.closed_long_ago(conn, age_s=age_s)

    async def mark_swept(self, attempts: Sequence[UUID]) -> None:
        async with self._transaction() as conn:
            await upkeep.mark_swept(conn, attempts)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as conn:
                yield conn
        except Exception as error:
            if isinstance(error, Transient) or not is_transient(error):
                raise
            raise Transient(str(error)) from error
