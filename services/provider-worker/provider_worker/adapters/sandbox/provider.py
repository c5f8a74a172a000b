"""The provider that needs no account: it draws real pictures, and is paid for them on a bill of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from media import Children, ChildrenFailed
from objects import Grouped
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.sandbox import faults
from provider_worker.adapters.sandbox.brief import FORMATS, LARGEST, SMALLEST, brief_of, planned, sha256_of
from provider_worker.adapters.sandbox.drawing.picture import Brief, drawn
from provider_worker.adapters.sandbox.instant import stamped
from provider_worker.adapters.sandbox.store import (
    CURRENCY,
    Accepted,
    BillBook,
    BillError,
    Submit,
    find_accepted,
    read_bill,
)
from provider_worker.adapters.signatures import unsigned

PRICE_MICROS = 40_000

_CHUNK = 256 << 10
_DRAWING_TIMEOUT_S = 60.0
_SMALL = 256 * 256
_MOST_IN_A_GROUP = 512


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`folder` keeps the bill. Each picture costs `price_micros` of a USD and is answered after `latency_s` seconds.

    `instant` answers with small real pictures that cost next to nothing to make, for benches of the system around.
    `processes` draw at the same time.
    """

    folder: Path
    price_micros: int = PRICE_MICROS
    latency_s: float = 0.0
    instant: bool = False
    processes: int = 2


class SandboxProvider:
    """A `ProviderAdapter` that answers at once: every submit ends with a picture or an error.

    A submit is on the bill, on the disk, before it is answered. Our reference is its idempotency key: a second submit
    of one reference gives the same picture and is not paid again. Several processes may share the folder. Raises
    `BillError` when the folder cannot be used. Belongs to one event loop.
    """

    name = "sandbox"

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._book = BillBook(settings.folder)
        self._entering: Grouped[Submit, Accepted | None] = Grouped(
            self._book.enter, most=_MOST_IN_A_GROUP, name="sandbox-bill"
        )
        self._drawing = Children(workers=settings.processes)

    def capabilities(self) -> Sequence[Capability]:
        return (
            Capability(
                kind=MediaKind.IMAGE,
                op=Op.TEXT_TO_IMAGE,
                mode="sync",
                sizes=None,
                size_rule={"min_edge": SMALLEST, "max_edge": LARGEST},
                formats=FORMATS,
                supports=frozenset({"seed", "palette", "headline"}),
                idempotency="client_ref",
            ),
        )

    def estimate(self, req: GenerationRequest) -> Cost:
        return Cost(self._settings.price_micros, CURRENCY, "estimated", {"image": 1})

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        return planned(req)

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        asked = faults.faults_in(plan["prompt"], plan["seed"])
        if asked.policy:
            raise faults.refused_by_policy()
        if asked.fail:
            raise faults.failed()
        accepted = await self._paid(plan, asked)
        if asked.drop_after_accept and not accepted.repeated:
            raise faults.answer_lost()
        if self._settings.latency_s:
            await asyncio.sleep(self._settings.latency_s)
        return await self._finished(plan, accepted.external_id)

    async def _paid(self, plan: Mapping[str, Any], asked: faults.Faults) -> Accepted:
        sha256 = sha256_of(plan)
        submit = Submit(plan["reference"], sha256, self._settings.price_micros, asked.failing_submits)
        try:
            accepted = await self._entering.add(submit)
        except BillError as error:
            raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=503) from error
        if accepted is None:
            raise faults.unavailable()
        if accepted.request_sha256 != sha256:
            raise ProviderError(
                ErrorCode.INVALID_REQUEST, "this reference was used for another request", http_status=409
            )
        return accepted

    async def poll(self, ref: JobRef) -> Status:
        """The picture again; `ref.data` is the plan it was submitted with."""
        return await self._finished(ref.data, ref.external_id)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """The paid generation of this reference, whenever it was submitted: the bill forgets nothing."""
        try:
            found = await asyncio.to_thread(find_accepted, self._settings.folder, req.request_id)
        except BillError as error:
            raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=503) from error
        return JobRef(self.name, found.external_id, planned(req)) if found else None

    async def cancel(self, ref: JobRef) -> bool:
        """Never: a generation has ended by the time there is something to cancel."""
        return False

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        data = memoryview(art.data or b"")
        for start in range(0, len(data), _CHUNK):
            yield bytes(data[start : start + _CHUNK])

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """Nobody calls on its behalf."""
        return unsigned(body)

    async def health(self) -> bool:
        """Whether the bill can be read."""
        try:
            await asyncio.to_thread(read_bill, self._settings.folder)
        except BillError:
            return False
        return True

    async def close(self) -> None:
        """Wait for submits under way, then let go of the bill and the drawing processes."""
        await self._entering.close()
        self._book.close()
        await self._drawing.close()

    async def _finished(self, plan: Mapping[str, Any], external_id: str) -> Status:
        brief = brief_of(plan)
        data = await self._drawn(brief, plan["reference"])
        if faults.faults_in(plan["prompt"]).corrupt:
            data = data[: len(data) * 2 // 3]
        picture = Artifact(f"image/{plan['format']}", data=data, meta={"seed": brief.seed})
        cost = Cost(self._settings.price_micros, CURRENCY, "reported", {"image": 1})
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost)

    async def _drawn(self, brief: Brief, reference: str) -> bytes:
        if self._settings.instant and brief.image_format == "png":
            stamp = partial(stamped, brief.width, brief.height, brief.palette, brief.seed, reference)
            return stamp() if brief.width * brief.height <= _SMALL else await asyncio.to_thread(stamp)
        try:
            return await self._drawing.run(_DRAWING_TIMEOUT_S, drawn, brief)
        except ChildrenFailed as error:
            raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=500) from error
