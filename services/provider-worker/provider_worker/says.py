"""What the worker says, made of its own values: one function per event."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from provider_worker.routing import NO_BILL, Failure, Offer
from provider_worker.tasks import CancelReason, Task, cancel_code
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgressed,
    GenerationQuoted,
    GenerationSettled,
    GenerationSkipped,
    GenerationStarted,
)
from schemas.parts import Billing, ErrorCode, Fit, Lineage, Output, QuotedItem, Stage

_STOPPED = {"user": "The job was cancelled.", "deadline": "The job's deadline passed."}


def quoted(
    job_id: UUID,
    user_id: UUID,
    attempt: int,
    offers: Sequence[tuple[int, Offer]],
    *,
    currency: str,
    price_version: str,
    max_cost_micros: int | None,
) -> GenerationQuoted:
    """`offers` are pairs of item number and offer."""
    return GenerationQuoted(
        job_id=job_id,
        user_id=user_id,
        attempt=attempt,
        items=[
            QuotedItem(number=number, provider=offer.provider, model=offer.model, amount_micros=offer.amount_micros)
            for number, offer in offers
        ],
        currency=currency,
        price_version=price_version,
        max_cost_micros=max_cost_micros,
    )


def started(task: Task) -> GenerationStarted:
    return GenerationStarted(
        job_id=task.job.job_id,
        item=task.item.number,
        attempt=task.attempt,
        provider=task.offer.provider,
        model=task.offer.model,
    )


def progressed(task: Task, progress: int) -> GenerationProgressed:
    """`progress` in percent, by tens."""
    return GenerationProgressed(job_id=task.job.job_id, item=task.item.number, attempt=task.attempt, progress=progress)


def completed(
    task: Task, *, outputs: list[Output], fit: Fit | None, flags: list[str], billing: Billing, seed: int | None
) -> GenerationCompleted:
    return GenerationCompleted(
        job_id=task.job.job_id,
        item=task.item.number,
        attempt=task.attempt,
        outputs=outputs,
        fit=fit,
        flags=flags,
        billing=billing,
        logical_name=task.item.logical_name,
        lineage=lineage(task, seed),
        asset_context=task.job.context,
    )


def lineage(task: Task, seed: int | None) -> Lineage:
    """Which prompt, provider and seed made the item, and when; the provider's own seed where it tells one."""
    item, offer = task.item, task.offer
    return Lineage(
        template=item.template,
        template_version=item.template_version,
        template_sha256=item.template_sha256,
        prompt_sha256=item.prompt_sha256,
        provider=offer.provider,
        model=offer.model,
        seed=item.seed if seed is None else seed,
        generated_at=task.intent_at,
    )


def failed(task: Task, failure: Failure, *, final: bool) -> GenerationFailed:
    return GenerationFailed(
        job_id=task.job.job_id,
        item=task.item.number,
        attempt=task.attempt,
        code=failure.code,
        message=failure.message,
        stage=failure.stage,
        final=final,
        billing=failure.billing,
        provider=task.offer.provider,
        model=task.offer.model,
    )


def skipped(job_id: UUID, item: int, asset_id: UUID, warnings: list[str]) -> GenerationSkipped:
    """An item that is there already; `warnings`: in what it is not what was asked for."""
    return GenerationSkipped(job_id=job_id, item=item, asset_id=asset_id, warnings=warnings)


def never_started(job_id: UUID, item: int, attempt: int, code: ErrorCode, message: str) -> GenerationFailed:
    """An item that ends before a provider was called for this attempt."""
    return GenerationFailed(
        job_id=job_id,
        item=item,
        attempt=attempt,
        code=code,
        message=message,
        stage=Stage.GENERATING,
        final=True,
        billing=NO_BILL,
    )


def cancelled(
    job_id: UUID, item: int, attempt: int, reason: CancelReason, billing: Billing = NO_BILL
) -> GenerationCancelled:
    return GenerationCancelled(
        job_id=job_id,
        item=item,
        attempt=attempt,
        code=cancel_code(reason),
        message=_STOPPED[reason],
        stage=Stage.GENERATING,
        billing=billing,
    )


def settled(
    task: Task,
    *,
    billing: Billing,
    evidence: str,
    late_outputs: list[Output],
    seed: int | None,
    redownload: int | None = None,
) -> GenerationSettled:
    """What an open bill came to, or the answer to a `redownload`; late outputs carry what storage needs of them."""
    late = bool(late_outputs)
    return GenerationSettled(
        job_id=task.job.job_id,
        item=task.item.number,
        attempt=task.attempt,
        billing=billing,
        evidence=evidence,
        late_outputs=late_outputs,
        logical_name=task.item.logical_name if late else None,
        lineage=lineage(task, seed) if late else None,
        asset_context=task.job.context if late else None,
        redownload=redownload,
    )


def nothing_to_fetch(job_id: UUID, item: int, request: int, why: str) -> GenerationSettled:
    """The answer to a redownload of an item of which no paid attempt is known."""
    return GenerationSettled(job_id=job_id, item=item, attempt=0, billing=NO_BILL, evidence=why, redownload=request)
