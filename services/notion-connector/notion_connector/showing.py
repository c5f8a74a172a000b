"""What a page shows: a pure function of what is known of its newest job, of a note, and of whether a request waits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from notion_connector.columns import Columns, Statuses, Value

State = Literal["accepted", "completed", "partial", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of a job for a page. Pictures are counted; the cost is in micro-units of USD."""

    job_id: UUID
    page_id: UUID
    state: State
    generated: int | None = None
    skipped: int | None = None
    failed: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    cost_micros: int | None = None
    settled: bool = False

    @property
    def rank(self) -> int:
        """An end outranks the beginning, whichever is heard first."""
        return 1 if self.state == "accepted" else 2


@dataclass(frozen=True, slots=True)
class Note:
    """What the page is told of a request that has no job: refused (an error), or waiting (the status stays)."""

    text: str
    error: bool = False


def shown(
    columns: Columns, statuses: Statuses, job: JobFacts | None, note: Note | None, *, asking: bool
) -> dict[str, Value]:
    """The values of a page's columns. None empties one, what is not named stays as it is.

    `asking`: a request of the page waits for its answer. Then its status is the user's, and nothing overwrites it.
    """
    values: dict[str, Value] = {}
    if note is not None:
        values[columns.error_log] = note.text
        status = statuses.error if note.error else None
    elif job is not None:
        values |= {columns.error_log: _error_log(job), **_figures(columns, job)}
        status = _status(statuses, job)
    else:
        return {}
    if status is not None and not asking:
        values[columns.status] = status
    return values


def _status(statuses: Statuses, job: JobFacts) -> str:
    match job.state:
        case "accepted":
            return statuses.generating
        case "completed":
            return statuses.ready
        case _:
            return statuses.error


def _figures(columns: Columns, job: JobFacts) -> dict[str, Value]:
    return {
        columns.job_id: str(job.job_id),
        columns.total_cost: None if job.cost_micros is None else float(Decimal(job.cost_micros) / 1_000_000),
        columns.generated: job.generated,
        columns.skipped: job.skipped,
        columns.failed: job.failed,
    }


def _error_log(job: JobFacts) -> str:
    if job.state in {"accepted", "completed"}:
        return ""
    why = ": ".join(filter(None, (job.error_code, job.error_message)))
    counted = f"{job.generated or 0} made, {job.skipped or 0} there before, {job.failed or 0} failed"
    said = {"partial": "Some pictures are missing", "failed": "No picture was made", "cancelled": "Cancelled"}
    sentence = f"{said[job.state]} ({counted})."
    return f"{sentence} {why}" if why else sentence
