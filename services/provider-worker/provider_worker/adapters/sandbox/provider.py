"""The provider that needs no account: it makes real media, and is paid for it on a bill of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from objects import Grouped
from provider_worker.adapters.config import Prices
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.sandbox import faults
from provider_worker.adapters.sandbox.brief import picture_of, planned, seed_in, sha256_of
from provider_worker.adapters.sandbox.inputs import SandboxInputs, told, with_inputs
from provider_worker.adapters.sandbox.instant import stamped
from provider_worker.adapters.sandbox.kinds import KINDS, PRICES, capabilities, cost
from provider_worker.adapters.sandbox.looking import Looked
from provider_worker.adapters.sandbox.store import (
    Accepted,
    BillBook,
    BillError,
    Submit,
    find_accepted,
    read_bill,
)
from provider_worker.adapters.sandbox.workshop import Look, Workshop, takes_long
from provider_worker.adapters.signatures import unsigned

_CHUNK = 256 << 10
_SMALL = 256 * 256
_MOST_IN_A_GROUP = 512
LONGEST_POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`folder` keeps the bill, and for a while what requests build on and what took long to make.

    Everything costs what `prices` say and is answered after `latency_s` seconds.
    `instant` answers with small real pictures that cost next to nothing to make, for benches of the system around.
    `processes`: see `Workshop`.
    """

    folder: Path
    prices: Prices = PRICES
    latency_s: float = 0.0
    instant: bool = False
    processes: int = 2


class SandboxProvider:
    """A `ProviderAdapter` that answers at once: every submit ends with the media or an error. A question does not wait
    for what takes long to make.

    A submit is on the bill, on the disk, before it is answered. Our reference is its idempotency key: a second submit
    of one reference gives the same bytes and is not paid again. Several processes may share the folder. Raises
    `BillError` when the folder cannot be used. Belongs to one event loop.
    """

    name = "sandbox"

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._book = BillBook(settings.folder)
        self._entering: Grouped[Submit, Accepted | None] = Grouped(
            self._book.enter, most=_MOST_IN_A_GROUP, name="sandbox-bill"
        )
        self._inputs = SandboxInputs(settings.folder / "inputs", workers=settings.processes)
        self._workshop = Workshop(settings.folder / "made", processes=settings.processes)

    def capabilities(self) -> Sequence[Capability]:
        return capabilities()

    def estimate(self, req: GenerationRequest) -> Cost:
        return cost(req.kind, req.duration_s, self._settings.prices, "estimated")

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        return planned(req)

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        asked = faults.faults_in(plan["prompt"], plan["seed"])
        if asked.policy:
            raise faults.refused_by_policy()
        if asked.fail:
            raise faults.failed()
        seen = await self._inputs.brought(plan, req.inputs)
        accepted = await self._paid(plan, asked)
        if asked.drop_after_accept and not accepted.repeated:
            raise faults.answer_lost()
        if self._settings.latency_s:
            await asyncio.sleep(self._settings.latency_s)

        async def look() -> Looked:
            return seen

        return await self._finished(plan, accepted.external_id, look)

    async def _paid(self, plan: Mapping[str, Any], asked: faults.Faults) -> Accepted:
        sha256 = sha256_of(plan)
        submit = Submit(plan["reference"], sha256, self._cost(plan).amount_micros, asked.failing_submits, told(plan))
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
        """The media again, made anew where they are not kept; `ref.data` is the plan it was submitted with."""
        finished = self._finished(ref.data, ref.external_id, partial(self._inputs.again, ref.data))
        if not takes_long(ref.data):
            return await finished
        try:
            async with asyncio.timeout(LONGEST_POLL_S):
                return await finished
        except TimeoutError:
            return Status("running", ref.external_id)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """The paid generation of this reference, whenever it was submitted: the bill forgets nothing."""
        try:
            found = await asyncio.to_thread(find_accepted, self._settings.folder, req.request_id)
        except BillError as error:
            raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=503) from error
        return JobRef(self.name, found.external_id, with_inputs(planned(req), found.inputs)) if found else None

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
        """Wait for submits under way, then let go of the bill and the processes."""
        await self._entering.close()
        self._book.close()
        await self._workshop.close()
        await self._inputs.close()

    async def _finished(self, plan: Mapping[str, Any], external_id: str, look: Look) -> Status:
        data = await self._made(plan, look)
        if faults.faults_in(plan["prompt"]).corrupt:
            data = faults.corrupted(data)
        mime = KINDS[MediaKind(plan["kind"])].formats[plan["format"]]
        artifact = Artifact(mime, data=data, meta={"seed": seed_in(plan)})
        return Status("succeeded", external_id, progress=100, artifacts=(artifact,), cost=self._cost(plan))

    def _cost(self, plan: Mapping[str, Any]) -> Cost:
        return cost(MediaKind(plan["kind"]), plan["duration_s"], self._settings.prices, "reported")

    async def _made(self, plan: Mapping[str, Any], look: Look) -> bytes:
        plain = plan["kind"] == MediaKind.IMAGE and plan["format"] == "png" and "inputs" not in plan
        if not (self._settings.instant and plain):
            return await self._workshop.made(plan, look)
        brief = picture_of(plan)
        stamp = partial(stamped, brief.width, brief.height, brief.palette, brief.seed, plan["reference"])
        return stamp() if brief.width * brief.height <= _SMALL else await asyncio.to_thread(stamp)
