"""How the worker's values lie in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from sqlalchemy import Row

from provider_worker.routing import Offer
from provider_worker.tasks import Job, Piece, Reference, Staged, Task
from schemas.events import PromptsPrepared
from schemas.parts import AssetContext, Billing, PreparedItem, Route


class _Context(BaseModel):
    """The job's column `context`."""

    route: Route
    max_cost_micros: int | None = None
    asset_context: AssetContext


def context_text(prepared: PromptsPrepared) -> str:
    return prepared.model_dump_json(include={"route", "max_cost_micros", "asset_context"})


def job_of(row: Row[Any]) -> Job:
    context = _Context.model_validate_json(row.context)
    return Job(
        job_id=row.job_id,
        tenant_id=row.tenant_id,
        route=context.route,
        max_cost_micros=context.max_cost_micros,
        context=context.asset_context,
        traceparent=row.traceparent,
    )


def tasks_of(rows: Sequence[Row[Any]]) -> list[Task]:
    """Tasks of claimed rows; the items of one job share its context."""
    jobs: dict[UUID, Job] = {}
    tasks = []
    for row in rows:
        job = jobs.get(row.job_id)
        if job is None:
            job = jobs[row.job_id] = job_of(row)
        tasks.append(task_of(row, job))
    return tasks


def task_of(row: Row[Any], job: Job) -> Task:
    item, external = PreparedItem.model_validate_json(row.spec), reference_of(row.external)
    return Task(
        id=row.id,
        epoch=row.epoch,
        job=job,
        item=item,
        attempt=row.attempt,
        attempt_id=row.attempt_id,
        offer=Offer(row.provider, row.model, row.price_micros),
        price_version=row.price_version,
        held_micros=row.held_micros,
        intent_at=row.intent_at,
        unknown_s=float(row.unknown_s),
        calls=row.calls,
        remakes=row.remakes,
        tried=frozenset(row.tried),
        time_left=float(row.time_left),
        # What builds on inputs is sent after another intent: without it, whoever held the lease was still reading them.
        resuming=row.resuming and not (item.inputs and external is None),
        cancelled=row.cancel_reason,
        external=external,
        staged=staged_of(row.staged),
    )


def staged_of(text: str | None) -> Staged | None:
    if text is None:
        return None
    held = from_json(text)
    return Staged(
        pieces=tuple(Piece(**piece) for piece in held["pieces"]),
        billing=Billing.model_validate(held["billing"]),
        external_id=held["external_id"],
        seed=held["seed"],
    )


def staged_text(staged: Staged | None) -> str | None:
    if staged is None:
        return None
    pieces = [
        {"number": piece.number, "role": piece.role, "key": piece.key, "sha256": piece.sha256, "size": piece.size}
        for piece in staged.pieces
    ]
    bill = staged.billing
    billing = {"state": bill.state, "amount_micros": bill.amount_micros, "basis": bill.basis}
    held = {"pieces": pieces, "billing": billing, "external_id": staged.external_id, "seed": staged.seed}
    return to_json(held).decode()


def reference_of(text: str | None) -> Reference | None:
    if text is None:
        return None
    held = from_json(text)
    return Reference(
        external_id=held["id"],
        data=held.get("data") or {},
        phase=held.get("phase", 1),
        plan=held.get("plan"),
        spent_micros=held.get("spent", 0),
        untold=held.get("untold", 0),
        progress=held.get("progress", 0),
        begun=held.get("begun", False),
        stopping=held.get("stopping", False),
    )


def reference_text(reference: Reference | None) -> str | None:
    if reference is None:
        return None
    held = {
        "id": reference.external_id,
        "data": reference.data,
        "phase": reference.phase,
        "plan": reference.plan,
        "spent": reference.spent_micros,
        "untold": reference.untold,
        "progress": reference.progress,
        "begun": reference.begun,
        "stopping": reference.stopping,
    }
    return to_json(held).decode()


def columns(rows: Sequence[tuple[Any, ...]], spaced: str) -> dict[str, list[Any]]:
    """Rows as one array per column, for unnest; `spaced` are the columns' names with spaces between."""
    names = spaced.split()
    if not rows:
        return {name: [] for name in names}
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
