"""What notion-connector hears. It says nothing.

| hears (`backlot.job-results`) | does |
|---|---|
| JobAccepted with a label `notion_page_id` | the page should show that pictures come |
| JobCompleted, JobPartial, JobFailed, JobCancelled with that label | the page should show what came of them |
| the same, of a manifest | requests that wait for its channel and project are tried again |
| JobSettled of a job that is known | the page should show the final cost |

A handler never speaks to Notion. Any order and any repetition comes to the same; JobSettled has the key of its job, and
so comes after its end. Whose job it is, is asked before anything of it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.consumer import Subscription
from notion_connector.gateway import LABEL
from notion_connector.showing import JobFacts, State
from notion_connector.store import jobs, pages, requests
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.results import JobAccepted, JobCancelled, JobCompleted, JobFailed, JobOutcome, JobPartial, JobSettled
from schemas.topics import JOB_RESULTS

HEARD: tuple[type[Event], ...] = (JobAccepted, JobCompleted, JobPartial, JobFailed, JobCancelled, JobSettled)
_ENDS: dict[type[JobOutcome], State] = {
    JobCompleted: "completed",
    JobPartial: "partial",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}


def subscription(heard: Callable[[], None]) -> Subscription:
    """Hears `backlot.job-results`; `heard` is called when something was noted."""
    return Subscription(topic=JOB_RESULTS, handlers=dict.fromkeys(HEARD, note), after_commit=heard)


async def note(conn: AsyncConnection, heard: Sequence[CloudEvent[Event]]) -> None:
    """Notes what a batch says of pages, in the batch's own transaction."""
    changed = await jobs.merge(conn, facts_of([event.data for event in heard]), ours=None)
    costs = {event.data.job_id: event.data.cost_micros for event in heard if isinstance(event.data, JobSettled)}
    await pages.change(conn, changed | await jobs.settle(conn, costs))
    ended = [event.data.manifest for event in heard if isinstance(event.data, JobOutcome)]
    await requests.wake(conn, [(one.channel, one.project) for one in ended if one is not None])


def facts_of(heard: Sequence[Event]) -> list[JobFacts]:
    """What a batch says of each job with a page's label: of several events of a job the one that outranks."""
    found: dict[UUID, JobFacts] = {}
    for data in heard:
        fact = _fact(data)
        if fact is not None and (fact.job_id not in found or fact.rank > found[fact.job_id].rank):
            found[fact.job_id] = fact
    return [found[job_id] for job_id in sorted(found)]


def _fact(data: Event) -> JobFacts | None:
    if not isinstance(data, JobAccepted | JobOutcome) or (page_id := page_of(data.labels)) is None:
        return None
    if isinstance(data, JobAccepted):
        return JobFacts(data.job_id, page_id, "accepted")
    manifest, error = data.manifest, data.error
    return JobFacts(
        job_id=data.job_id,
        page_id=page_id,
        state=_ENDS[type(data)],
        generated=manifest.generated if manifest else data.completed,
        skipped=manifest.skipped if manifest else 0,
        failed=manifest.failed if manifest else data.items - data.completed,
        error_code=error.code if error else None,
        error_message=error.message if error else None,
        cost_micros=data.cost_micros,
    )


def page_of(labels: dict[str, str]) -> UUID | None:
    """The page that a job is labelled with; None where there is no label, or it names no page."""
    try:
        return UUID(labels[LABEL])
    except (KeyError, ValueError):
        return None
