"""The rounds that look for jobs time has passed over. Any number of replicas may make them at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from api_gateway import metrics
from api_gateway.facts import Fact, gave_up
from api_gateway.outcomes import Job
from api_gateway.store import reading, sweeping
from api_gateway.store.jobs import stop
from api_gateway.store.projecting import judge
from api_gateway.store.totals import Shard
from api_gateway.watching import Watch
from chassis.database import after_commit
from chassis.outbox import Outbox
from chassis.telemetry import get_logger

log = get_logger()

_BATCH = 200


class Sweeper:
    """`cancel_patience` and `request_patience` are in seconds of the database's clock.

    Each round answers whether it found a full batch, so that there may be more.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        watch: Watch,
        *,
        cancel_patience: float,
        request_patience: float,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._watch = watch
        self._cancel_patience = cancel_patience
        self._request_patience = request_patience

    async def stop_overdue(self) -> bool:
        """Asks jobs to stop whose deadline has passed."""
        async with self._engine.begin() as conn:
            ids = await sweeping.overdue(conn, _BATCH)
            changed = await stop(conn, self._outbox, self._watch, ids, reason="deadline", shard=Shard.OWN)
        metrics.DEADLINES.inc(len(changed))
        return len(ids) == _BATCH

    async def give_up(self) -> bool:
        """Seals jobs that were asked to stop and got no answer; what comes later is a late output."""
        async with self._engine.begin() as conn:
            ids = await sweeping.unanswered_cancels(conn, self._cancel_patience, _BATCH)
            changed = await judge(conn, self._outbox, ids, _give_up, Shard.OWN)
            after_commit(conn, partial(self._watch.notify, changed))
        for job_id in changed:
            log.warning("job_given_up", job_id=str(job_id), after=self._cancel_patience)
        metrics.GIVEN_UP.inc(len(changed))
        return len(ids) == _BATCH

    async def request_again(self) -> bool:
        """Says jobs once more that nobody has answered (R35)."""
        async with self._engine.begin() as conn:
            count = await sweeping.request_again(conn, self._outbox, self._request_patience, _BATCH)
        if count:
            log.warning("jobs_requested_again", jobs=count)
            metrics.REQUESTED_AGAIN.inc(count)
        return count == _BATCH

    async def look_for_changes(self) -> bool:
        """Wakes requests whose job another replica has changed. Asks nothing while nobody waits."""
        ids = self._watch.waited_for()
        if ids:
            async with self._engine.begin() as conn:
                self._watch.compare(await reading.read_versions(conn, ids))
        return False


def _give_up(job: Job, facts: Sequence[Fact]) -> list[Fact]:
    return [] if job.sealed else [gave_up([fact.slot for fact in facts])]
