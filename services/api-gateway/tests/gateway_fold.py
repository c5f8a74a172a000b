"""The projection without its database: slots in a dict, the same pure functions, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from api_gateway.events import facts_of
from api_gateway.facts import Fact, Slot, cancel_requested, gave_up, redownload_requested
from api_gateway.lifecycle import Status, passage
from api_gateway.outcomes import Job, advance, announcements
from api_gateway.projection import JobState, state
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.parts import Kind
from tests.gateway_model_events import JOB, USER, CancelRequested, Entry, RedownloadRequested

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TENANT = UUID("01890000-0000-7000-8000-0000000000c1")
NEW_JOB = Job(
    id=JOB,
    tenant_id=TENANT,
    user_id=USER,
    kind=Kind.IMAGE,
    asset_type=None,
    labels={},
    status=Status.QUEUED,
    progress=0,
    settled=False,
    created_at=NOW,
)


def facts_in(entries: Iterable[Entry]) -> list[Fact]:
    """The facts that `entries` make, in order."""
    found: list[Fact] = []
    for entry in entries:
        if isinstance(entry, CancelRequested):
            found.append(cancel_requested(entry.reason))
        elif isinstance(entry, RedownloadRequested):
            found.append(redownload_requested(entry.item, entry.request, fetch=entry.fetch))
        else:
            found += facts_of(CloudEvent(JOB, "/services/model", JOB, TENANT, NOW, entry))
    return found


@dataclass(slots=True)
class Fold:
    """One job as the gateway keeps it. `seen` is every state it showed, `passed` every status it went through."""

    job: Job = NEW_JOB
    slots: dict[Slot, Fact] = field(default_factory=dict)
    seen: list[JobState] = field(default_factory=list)
    passed: list[Status] = field(default_factory=lambda: [Status.QUEUED])
    announced: list[Event] = field(default_factory=list)

    @property
    def now(self) -> JobState:
        return self.seen[-1]

    def hear(self, batch: Sequence[Entry]) -> None:
        """One batch: what is new fills its slots, and the job follows. A sealed job takes no request to stop."""
        sealed = self.job.sealed
        self.write(facts_in(entry for entry in batch if not (sealed and isinstance(entry, CancelRequested))))

    def give_up(self) -> None:
        """The gateway waits no longer, if it still does."""
        if not self.job.sealed:
            self.write([gave_up(list(self.slots))])

    def write(self, facts: Iterable[Fact]) -> None:
        before = len(self.slots)
        for fact in facts:
            self.slots.setdefault(fact.slot, fact)
        if len(self.slots) == before:
            return
        after = advance(self.job, state(list(self.slots.values())))
        self.announced += announcements(self.job, after, NOW)
        self.passed += passage(self.job.status, after.status)
        self.seen.append(after)
        self.job = self.job._replace(status=after.status, progress=after.progress, settled=after.settled)
