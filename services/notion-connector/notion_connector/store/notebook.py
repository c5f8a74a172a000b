"""What the connector's loops note and look up, a transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from notion_connector.columns import Types
from notion_connector.showing import JobFacts, Note
from notion_connector.store import jobs, pace, pages, requests
from notion_connector.store.pages import Work
from notion_connector.store.requests import Fixed, Request

# A request to Notion or to the gateway, and a moment: so long a page waits for a process that was killed.
LEASE_SECONDS = 12.0
WITHDRAWN = Note("")


class Notebook:
    """The connector's database as its loops see it. What a lost lease would have changed is left alone."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        lease_seconds: float = LEASE_SECONDS,
        per_second: float = pace.REQUESTS_PER_SECOND,
    ) -> None:
        self._engine = engine
        self._per_second = per_second
        self._lease_seconds = lease_seconds

    async def take_token(self) -> float:
        """0 when one more request to Notion is right now, otherwise the seconds after which to ask again."""
        async with self._engine.begin() as conn:
            return await pace.take(conn, self._per_second)

    async def slow_down(self, seconds: float) -> None:
        """No request to Notion for so long, from any replica."""
        async with self._engine.begin() as conn:
            await pace.close(conn, seconds)

    async def now(self) -> datetime:
        """The database's time."""
        async with self._engine.begin() as conn:
            return await requests.clock(conn)

    async def notice(self, seen: Sequence[UUID], seen_at: datetime) -> int:
        """Takes up what these pages ask for, as read at `seen_at` or later; how many requests are new."""
        async with self._engine.begin() as conn:
            return await requests.notice(conn, seen, seen_at)

    async def next_request(self) -> Request | None:
        """Leases the request that is due the longest."""
        async with self._engine.begin() as conn:
            return await requests.claim(conn, lease_seconds=self._lease_seconds)

    async def fix(self, request: Request, what: Fixed) -> bool:
        """Writes down what is about to be sent; False when the lease was lost."""
        async with self._engine.begin() as conn:
            return await requests.fix(conn, request, what)

    async def accepted(self, request: Request, job_id: UUID) -> None:
        """There is a job of it."""
        async with self._engine.begin() as conn:
            if await _answered(conn, request):
                await jobs.merge(conn, [JobFacts(job_id, request.page_id, "accepted")], ours=True)
                await pages.change(conn, [request.page_id])

    async def busy(self, request: Request, words: str, seconds: float) -> None:
        """Another manifest runs there: the page says so and is read again later."""
        async with self._engine.begin() as conn:
            if await requests.postpone(conn, request, seconds, anew=True):
                await pages.note(conn, request.page_id, Note(words))

    async def declined(self, request: Request, words: str) -> None:
        """There is no job of it, and the page says why."""
        async with self._engine.begin() as conn:
            if await _answered(conn, request):
                await pages.note(conn, request.page_id, Note(words, error=True))

    async def withdrawn(self, request: Request, *, by_hand: bool) -> None:
        """The page does not ask any more. `by_hand`: its status is somebody's own, and stays."""
        async with self._engine.begin() as conn:
            if await _answered(conn, request):
                await pages.note(conn, request.page_id, WITHDRAWN if by_hand else None)

    async def postponed(self, request: Request, seconds: float, *, anew: bool) -> None:
        """Nobody answered: tried again later, from the page (`anew`) or as it was sent."""
        async with self._engine.begin() as conn:
            await requests.postpone(conn, request, seconds, anew=anew)

    async def next_page(self) -> Work | None:
        """Leases the page that is due the longest, with all that decides what it shows."""
        async with self._engine.begin() as conn:
            return await pages.claim(conn, lease_seconds=self._lease_seconds)

    async def renewed(self, work: Work, *, with_status: bool) -> bool:
        """Makes the lease run from now; False when it was lost. `with_status`: a status is about to be sent."""
        async with self._engine.begin() as conn:
            return await pages.renew(conn, work, lease_seconds=self._lease_seconds, with_status=with_status)

    async def learned(self, work: Work, types: Types) -> None:
        """The types of the page's columns, which are not asked for again until Notion refuses the page."""
        async with self._engine.begin() as conn:
            await pages.learn(conn, work, types)

    async def shown(self, work: Work, status: str | None) -> float | None:
        """The page shows it, and `status` if one was sent, after so many seconds; None when the lease was lost."""
        async with self._engine.begin() as conn:
            return await pages.finish(conn, work, status)

    async def released(self, work: Work, seconds: float, *, failed: bool = True, doubt: float = 0.0) -> None:
        """Tried again after `seconds`. `doubt`: the write may yet arrive for so long."""
        async with self._engine.begin() as conn:
            await pages.release(conn, work, seconds, failed=failed, doubt=doubt)

    async def refused(self, work: Work, code: str, seconds: float, *, patience: float) -> bool:
        """Notion refuses the page; whether it was given up."""
        async with self._engine.begin() as conn:
            return await pages.refuse(conn, work, code, seconds, patience=patience)

    async def next_unknown_job(self, *, lease_seconds: float) -> UUID | None:
        """A job of which nobody knows whose it is."""
        async with self._engine.begin() as conn:
            return await jobs.next_unknown(conn, lease_seconds=lease_seconds)

    async def recognised(self, job_id: UUID) -> None:
        """The job is of our tenant: its page shows it."""
        async with self._engine.begin() as conn:
            page_id = await jobs.mark_ours(conn, job_id)
            await pages.change(conn, [page_id] if page_id else [])

    async def forgotten(self, job_id: UUID) -> None:
        """The job is somebody else's."""
        async with self._engine.begin() as conn:
            await jobs.forget(conn, job_id)


async def _answered(conn: AsyncConnection, request: Request) -> bool:
    """The request has its answer, and what its user set the status to is nothing of ours; False when the lease was
    lost."""
    if not await requests.end(conn, request):
        return False
    await pages.free(conn, request.page_id)
    return True
