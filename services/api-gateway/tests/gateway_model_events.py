"""The events of the model of the services: one job, ids that say what they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from schemas.event import Event
from schemas.events import (
    AssetStored,
    AssetStoreFailed,
    CostRecorded,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationSettled,
)
from schemas.parts import AssetContext, Billing, ErrorCode, Fit, Kind, Lineage, Output, PreparedItem, Stage

JOB = UUID("01890000-0000-7000-8000-0000000000a1")
USER = UUID("01890000-0000-7000-8000-0000000000b1")
HASH = "ab" * 32


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The gateway's own request to stop, at the moment it was made."""

    reason: str


@dataclass(frozen=True, slots=True)
class RedownloadRequested:
    """The gateway's own request to fetch an item again. Without `fetch` its late output is here."""

    item: int
    request: int
    fetch: bool


Entry = Event | CancelRequested | RedownloadRequested


class Tried(Protocol):
    """An item and the attempt it is at."""

    number: int
    attempt: int


def asset(item: int, attempt: int, number: int) -> UUID:
    """The asset id of an output: the same for the same output."""
    return UUID(f"01890000-0000-7000-8000-{item:04x}{attempt:04x}{number:04x}")


def asset_stored(
    item: int, attempt: int = 1, number: int = 1, *, late: bool = False, public: bool = True
) -> AssetStored:
    """An output that storage-service kept."""
    asset_id = asset(item, attempt, number)
    return AssetStored(
        job_id=JOB,
        item=item,
        attempt=attempt,
        output=number,
        role="primary" if number in {1, 9} else "variant",
        asset_id=asset_id,
        revision=1,
        version=1,
        user_id=USER,
        kind=Kind.IMAGE,
        logical_name=f"item-{item}",
        url=f"https://assets.test/asset/{asset_id}",
        sha256=HASH,
        file_size=1000,
        mime="image/png",
        width=8,
        height=8,
        is_public=public,
        late=late,
    )


def prepared_item(number: int, *, blank: bool = False) -> PreparedItem:
    """One item of PromptsPrepared."""
    return PreparedItem(
        number=number,
        logical_name=f"item-{number}",
        prompt="" if blank else "a fox",
        kind=Kind.IMAGE,
        width=8,
        height=8,
        format="png",
        template="plain",
        template_version="1.0",
        template_sha256=HASH,
        prompt_sha256=HASH,
        blank=blank,
    )


def output(number: int, role: str) -> Output:
    """A staged output."""
    return Output.model_validate(
        {
            "number": number,
            "role": role,
            "staged_key": f"staging/{number}",
            "sha256": HASH,
            "content_sha256": HASH,
            "size": 1000,
            "mime": "image/png",
        }
    )


def lineage(provider: str) -> Lineage:
    """Which prompt and route made it."""
    return Lineage(
        template="plain",
        template_version="1.0",
        template_sha256=HASH,
        prompt_sha256=HASH,
        provider=provider,
        model="m",
    )


def billing(bill: int | None) -> Billing:
    """Nothing, an amount, or (None) not known yet."""
    if bill is None:
        return Billing(state="pending")
    return Billing(state="final", amount_micros=bill) if bill else Billing(state="none")


def failed(item: Tried, code: ErrorCode, message: str, *, final: bool, bill: int | None) -> GenerationFailed:
    return GenerationFailed(
        job_id=JOB,
        item=item.number,
        attempt=item.attempt,
        code=code,
        message=message,
        stage=Stage.GENERATING,
        final=final,
        billing=billing(bill),
        provider=f"p{item.attempt}" if item.attempt else None,
        model="m" if item.attempt else None,
    )


def cancelled(item: Tried, code: ErrorCode) -> GenerationCancelled:
    """An item that was stopped before it cost anything."""
    return GenerationCancelled(
        job_id=JOB,
        item=item.number,
        attempt=item.attempt,
        code=code,
        message="stopped",
        stage=Stage.GENERATING,
        billing=Billing(state="none"),
    )


def completed(item: Tried, numbers: list[int], bill: int | None) -> GenerationCompleted:
    """Bytes are staged: output 1 is the primary, the others are extras of the same attempt."""
    return GenerationCompleted(
        job_id=JOB,
        item=item.number,
        attempt=item.attempt,
        outputs=[output(number, "primary" if number == 1 else "variant") for number in numbers],
        fit=Fit(native_width=8, native_height=8, method="none"),
        billing=billing(bill),
        logical_name=f"item-{item.number}",
        lineage=lineage(f"p{item.attempt}"),
        asset_context=AssetContext(user_id=USER, kind=Kind.IMAGE),
    )


def recorded(item: int, attempt: int, bill: int) -> CostRecorded:
    """The hold of an attempt is closed."""
    return CostRecorded(
        job_id=JOB,
        item=item,
        attempt=attempt,
        captured_micros=bill,
        released_micros=0,
        currency="USD",
        provider="p",
        model="m",
    )


def settled(item: int, attempt: int, bill: int, late: int | None, redownload: int | None = None) -> GenerationSettled:
    """The last word on a bill, or the answer to a request; `late` is the number of the output that came with it."""
    return GenerationSettled(
        job_id=JOB,
        item=item,
        attempt=attempt,
        billing=billing(bill),
        evidence="the provider's list of jobs",
        late_outputs=[] if late is None else [output(late, "primary")],
        redownload=redownload,
    )


def store_failed(item: int, attempt: int, number: int, *, late: bool) -> AssetStoreFailed:
    """An output that storage-service could not keep."""
    return AssetStoreFailed(
        job_id=JOB,
        item=item,
        attempt=attempt,
        output=number,
        code=ErrorCode.STORAGE_ERROR,
        message="no room",
        late=late,
    )
