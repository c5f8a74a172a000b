"""Short histories of one job, as the services tell them."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from chassis.ids import uuid7
from schemas.event import Event
from schemas.events import (
    AssetStored,
    CostRecorded,
    CostReserved,
    GenerationCompleted,
    GenerationQuoted,
    GenerationStarted,
    PromptsPrepared,
)
from schemas.parts import (
    AssetContext,
    Billing,
    Fit,
    Kind,
    Lineage,
    Output,
    PreparedItem,
    QuotedItem,
)

USER = UUID("01890000-0000-7000-8000-0000000000b1")
HASH = "cd" * 32
CONTEXT = AssetContext(user_id=USER, kind=Kind.IMAGE)


def prepared(job_id: UUID, *, items: int = 1, blank: tuple[int, ...] = ()) -> PromptsPrepared:
    """The prompts of a job."""
    made = [
        PreparedItem(
            number=number,
            logical_name=f"item-{number}.png",
            prompt="a fox",
            kind=Kind.IMAGE,
            width=1280,
            height=720,
            format="png",
            template="thumbnail",
            template_version="v1.0",
            template_sha256=HASH,
            prompt_sha256=HASH,
            blank=number in blank,
        )
        for number in range(1, items + 1)
    ]
    return PromptsPrepared(job_id=job_id, items=made, asset_context=CONTEXT)


def quoted(job_id: UUID, *items: int, attempt: int = 1, price: int = 40_000) -> GenerationQuoted:
    """A quote for the next attempt of each item."""
    quote = [QuotedItem(number=item, provider="sandbox", model="s1", amount_micros=price) for item in items or (1,)]
    return GenerationQuoted(
        job_id=job_id, user_id=USER, attempt=attempt, items=quote, currency="USD", price_version="1"
    )


def reserved(job_id: UUID, *items: int, attempt: int = 1, price: int = 40_000) -> CostReserved:
    """The hold for such a quote."""
    numbers = list(items or (1,))
    return CostReserved(
        job_id=job_id, attempt=attempt, items=numbers, amount_micros=price * len(numbers), currency="USD"
    )


def completed(job_id: UUID, item: int = 1, *, attempt: int = 1, bill: int = 39_000) -> GenerationCompleted:
    """Bytes are staged."""
    output = Output(number=0, staged_key="staging/x", sha256=HASH, content_sha256=HASH, size=1234, mime="image/png")
    return GenerationCompleted(
        job_id=job_id,
        item=item,
        attempt=attempt,
        outputs=[output],
        fit=Fit(native_width=1280, native_height=720, method="none"),
        billing=Billing(state="final", amount_micros=bill),
        logical_name=f"item-{item}.png",
        lineage=Lineage(
            template="thumbnail",
            template_version="v1.0",
            template_sha256=HASH,
            prompt_sha256=HASH,
            provider="sandbox",
            model="s1",
            seed=7,
        ),
        asset_context=CONTEXT,
    )


def stored(
    job_id: UUID,
    item: int = 1,
    *,
    attempt: int = 1,
    public: bool = True,
    asset_id: UUID | None = None,
    late: bool = False,
    output: int = 0,
    role: Literal["primary", "thumbnail"] = "primary",
) -> AssetStored:
    """The picture is kept."""
    asset_id = asset_id or uuid7()
    return AssetStored(
        job_id=job_id,
        item=item,
        attempt=attempt,
        output=output,
        role=role,
        asset_id=asset_id,
        revision=1,
        version=1,
        user_id=USER,
        kind=Kind.IMAGE,
        logical_name=f"item-{item}.png",
        url=f"https://assets.test/asset/{asset_id}" + ("?v=1" if public else ""),
        sha256=HASH,
        file_size=1234,
        mime="image/png",
        width=1280,
        height=720,
        is_public=public,
        late=late,
    )


def recorded(job_id: UUID, item: int = 1, *, attempt: int = 1, captured: int = 39_000) -> CostRecorded:
    """The hold of an attempt is closed."""
    return CostRecorded(
        job_id=job_id,
        item=item,
        attempt=attempt,
        captured_micros=captured,
        released_micros=max(0, 40_000 - captured),
        currency="USD",
        provider="sandbox",
        model="s1",
    )


def completed_picture(job_id: UUID, *, public: bool = True, asset_id: UUID | None = None) -> list[Event]:
    """A picture from its prompt to its bill."""
    return [
        prepared(job_id),
        quoted(job_id),
        reserved(job_id),
        GenerationStarted(job_id=job_id, item=1, attempt=1, provider="sandbox", model="s1"),
        completed(job_id),
        stored(job_id, public=public, asset_id=asset_id),
        recorded(job_id),
    ]
