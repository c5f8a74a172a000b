"""From a task to staged bytes: one paid call, never a blind second one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from chassis import crash
from chassis.errors import Transient
from objects import ObjectStore, ObjectTooLarge, StorageError, staged_key
from provider_worker.adapters.interface import (
    Artifact,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
)
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.engine.ports import LeaseLost
from provider_worker.routing import NO_BILL, Failure, RouteTable, Use
from provider_worker.tasks import Piece, Staged, Task, cancel_code
from schemas.parts import Billing, ErrorCode, Kind, PreparedItem, Stage

MAX_BYTES = 64 * 1024 * 1024
LAST_LOOK_S = 10.0
FETCH_WAITS = (1.0, 2.0, 4.0)
CLOCK_SKEW = timedelta(minutes=1)
PENDING = Billing(state="pending")

KeepReference = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Staged bytes. `fetched`: they came from an address and could come again."""

    staged: Staged
    fetched: bool


class Undelivered(Enum):
    """Why there is nothing to fetch yet, or ever."""

    UNKNOWN_THERE = "the provider has no job under our reference"
    AT_WORK = "the provider is still at work"
    UNTOLD = "the provider can be asked for no job by our reference"


class StoreAway(Transient):
    """The object store cannot be reached: what the provider has made is fetched later."""


class Production:
    """Calls providers and stages what they make. `disabled` says of providers that cannot be used why not."""

    def __init__(
        self,
        providers: Mapping[str, ProviderAdapter],
        objects: ObjectStore,
        table: RouteTable,
        still_ours: Callable[[Task], bool],
        disabled: Mapping[str, str] | None = None,
    ) -> None:
        self._providers = providers
        self._disabled = disabled or {}
        self._objects = objects
        self._table = table
        self._still_ours = still_ours

    def price(self, use: Use, item: PreparedItem) -> int | str:
        """See `routing.Price`: nothing that the provider would refuse is quoted (R59)."""
        adapter = self._providers.get(use.provider)
        if adapter is None:
            return self._disabled.get(use.provider, "there is no such provider")
        request = asked(item, use.model, "", "0")
        try:
            adapter.plan(request)
            return adapter.estimate(request).amount_micros
        except ProviderError as error:
            return error.message

    def resendable(self, provider: str) -> bool:
        """Whether a second submit under one reference makes no second job there."""
        adapter = self._providers.get(provider)
        return adapter is not None and any(
            found.idempotency in {"client_ref", "header"} for found in adapter.capabilities()
        )

    async def produce(self, task: Task, keep: KeepReference) -> Delivery | Failure:
        """Bytes, or why there are none, by the attempt's deadline (R67).

        A task that is resumed is looked up before anything is sent. `keep` commits the provider's reference before
        its first poll. `still_ours` is asked right before anything is sent: a process that slept past its lease
        must not call. Raises `StoreAway`, and `LeaseLost`.
        """
        adapter, request = self._providers.get(task.offer.provider), request_of(task)
        if adapter is None:
            # It was usable when this was quoted; a call that may be out there is nobody's to judge now.
            return Failure(ErrorCode.AUTH_ERROR, self._gone(task), unknown=task.resuming or task.external is not None)
        try:
            async with asyncio.timeout(task.time_left):
                status = await self._status(task, adapter, request, keep)
                return status if isinstance(status, Failure) else await self._delivered(task, adapter, status)
        except ProviderError as error:
            return failure_of(error)
        except TimeoutError:
            return await self._last_look(task, adapter)

    async def look_up(self, task: Task) -> Delivery | Failure | Undelivered:
        """What an earlier call has come to by now. Raises `ProviderError`, `TimeoutError` and `StoreAway`."""
        adapter = self._providers.get(task.offer.provider)
        if adapter is None:
            raise ProviderError(ProviderCode.TEMPORARY, self._gone(task))
        async with asyncio.timeout(LAST_LOOK_S):
            ref = await self._find(task, adapter, request_of(task))
            if ref is None:
                return Undelivered.UNKNOWN_THERE if _can_find(adapter) else Undelivered.UNTOLD
            status = await adapter.poll(ref)
            if status.state in {"queued", "running"}:
                return Undelivered.AT_WORK
            return await self._delivered(task, adapter, status)

    def _gone(self, task: Task) -> str:
        name = task.offer.provider
        return f"the provider {name} is disabled: {self._disabled.get(name, 'it is no longer configured')}"

    async def _last_look(self, task: Task, adapter: ProviderAdapter) -> Delivery | Failure:
        """A job past its deadline may have finished: it is looked at once more before it is given up."""
        limit = self._table.routes[task.item.kind].timeout_s
        late = Failure(ErrorCode.TIMEOUT, f"{adapter.name} did not answer within {limit:g} s", billing=PENDING)
        try:
            found = await self.look_up(task)
        except (ProviderError, TimeoutError):
            return late
        return late if isinstance(found, Undelivered) else found

    async def _status(
        self, task: Task, adapter: ProviderAdapter, request: GenerationRequest, keep: KeepReference
    ) -> Status | Failure:
        """The job's final status, of a new submit or of the one an earlier holder made."""
        ref = await self._find(task, adapter, request) if task.resuming else None
        if ref is None:
            if task.resuming and not self.resendable(adapter.name):
                raise ProviderError(ProviderCode.TEMPORARY, "the answer was lost", outcome=Outcome.UNKNOWN)
            if task.cancelled is not None:
                return Failure(cancel_code(task.cancelled), "nothing had been sent")
            if not self._still_ours(task):
                raise LeaseLost
            crash.point("worker.before_submit")
            answer = await adapter.submit(request, adapter.plan(request))
            crash.point("worker.after_submit")
            if isinstance(answer, Status):
                return answer
            ref = answer
            await keep(kept(ref))
        return await self._polled(task, adapter, ref)

    async def _find(self, task: Task, adapter: ProviderAdapter, request: GenerationRequest) -> JobRef | None:
        if task.external is not None:
            return JobRef(adapter.name, task.external["id"], task.external["data"])
        try:
            return await adapter.find(request, adapter.plan(request), task.intent_at - CLOCK_SKEW)
        except ProviderError as error:
            raise replace(error, outcome=Outcome.UNKNOWN) from error

    async def _polled(self, task: Task, adapter: ProviderAdapter, ref: JobRef) -> Status | Failure:
        """The provider has the job: an error of a poll is no refusal, and the job is not sent again for it."""
        pause = self._table.routes[task.item.kind].poll_s
        while True:
            crash.point("worker.before_poll")
            try:
                status = await adapter.poll(ref)
            except ProviderError as error:
                if not error.retryable and error.outcome is not Outcome.UNKNOWN:
                    return replace(failure_of(error, PENDING), unknown=False)
                await asyncio.sleep(max(pause, error.retry_after or 0))
                continue
            crash.point("worker.after_poll")
            if status.state not in {"queued", "running"}:
                return status
            await asyncio.sleep(status.poll_after_s or pause)

    async def _delivered(self, task: Task, adapter: ProviderAdapter, status: Status) -> Delivery | Failure:
        billing = self._billing(task, status)
        if status.state != "succeeded":
            return _refusal(status, billing)
        artifact = primary(status)
        if artifact is None:
            return Failure(ErrorCode.PROVIDER_ERROR, f"{adapter.name} answered without a result", billing=billing)
        staged = await self._staged_with_patience(task, adapter, status, artifact, billing)
        return staged if isinstance(staged, Failure) else Delivery(staged, fetched=artifact.data is None)

    def _billing(self, task: Task, status: Status) -> Billing:
        """As the provider says it; a success that names no price in our currency costs what was quoted."""
        cost = status.cost
        if cost is not None and cost.currency == self._table.currency:
            return Billing(state="final", amount_micros=cost.amount_micros, basis=cost.basis)
        if status.state != "succeeded":
            return NO_BILL
        return Billing(state="final", amount_micros=task.offer.amount_micros, basis="estimated")

    async def _staged_with_patience(
        self, task: Task, adapter: ProviderAdapter, status: Status, artifact: Artifact, billing: Billing
    ) -> Staged | Failure:
        """A failed download is tried again from a fresh address; what is paid for is never made anew (R79)."""
        for wait in (*FETCH_WAITS, None):
            try:
                return await self._stage(task, adapter, status.external_id, artifact, billing)
            except ProviderError as error:
                if wait is None or not error.retryable:
                    return replace(failure_of(error), billing=billing, unknown=False, paid_for=True)
                await asyncio.sleep(wait)
                artifact = await self._fresh(task, adapter, artifact)
            except StorageError as error:
                return _not_stored(error, billing)
        raise AssertionError("the last try returns")

    async def _fresh(self, task: Task, adapter: ProviderAdapter, artifact: Artifact) -> Artifact:
        """The artifact with its present address, or as it was: the next try says what is wrong with it."""
        try:
            ref = await self._find(task, adapter, request_of(task))
            return artifact if ref is None else primary(await adapter.poll(ref)) or artifact
        except ProviderError:
            return artifact

    async def _stage(
        self, task: Task, adapter: ProviderAdapter, external_id: str, artifact: Artifact, billing: Billing
    ) -> Staged:
        key = staged_key(str(task.job.tenant_id), str(task.attempt_id), 0)
        chunks: bytes | AsyncIterator[bytes] = adapter.fetch(artifact) if artifact.data is None else artifact.data
        crash.point("worker.before_stage")
        stored = await self._objects.put(key, chunks, max_bytes=MAX_BYTES)
        crash.point("worker.after_stage")
        seed = artifact.meta.get("seed")
        return Staged(
            pieces=(Piece(0, "primary", key, stored.sha256, stored.size),),
            billing=billing,
            external_id=external_id,
            seed=seed if isinstance(seed, int) else None,
        )


def _can_find(adapter: ProviderAdapter) -> bool:
    """Whether `find` that finds nothing means that there is nothing."""
    return any(found.idempotency != "none" for found in adapter.capabilities())


_OPS = {
    Kind.IMAGE: Op.TEXT_TO_IMAGE,
    Kind.TEXTURE: Op.TEXT_TO_IMAGE,
    Kind.ENVIRONMENT_MAP: Op.TEXT_TO_IMAGE,
    Kind.VIDEO: Op.TEXT_TO_VIDEO,
    Kind.SFX: Op.TEXT_TO_SFX,
    Kind.MUSIC: Op.TEXT_TO_MUSIC,
    Kind.MODEL_3D: Op.TEXT_TO_3D,
}


def request_of(task: Task) -> GenerationRequest:
    """What the provider is asked; our attempt id is its reference."""
    return asked(task.item, task.offer.model, str(task.job.tenant_id), str(task.attempt_id))


def asked(item: PreparedItem, model: str, tenant_id: str, reference: str) -> GenerationRequest:
    """The request for an item, to be made by `model`."""
    options: dict[str, Any] = {"palette": item.palette, "headline": item.headline, "model": model}
    if item.negative_prompt:
        options["negative_prompt"] = item.negative_prompt
    return GenerationRequest(
        request_id=reference,
        tenant_id=tenant_id,
        kind=MediaKind(item.kind.value),
        op=_OPS[item.kind],
        prompt=item.prompt,
        width=item.width,
        height=item.height,
        format=item.format,
        seed=item.seed,
        options=options,
    )


def kept(ref: JobRef) -> dict[str, Any]:
    """The reference to poll, as JSON."""
    return {"id": ref.external_id, "data": dict(ref.data)}


def primary(status: Status) -> Artifact | None:
    """The output that was asked for."""
    return next((found for found in status.artifacts if found.role == "primary"), None)


def failure_of(error: ProviderError, billing: Billing = NO_BILL) -> Failure:
    """What an adapter raised, in the worker's words."""
    return Failure(
        code=ErrorCode(error.code.value),
        message=error.message,
        billing=billing,
        unknown=error.outcome is Outcome.UNKNOWN,
        retry_after=error.retry_after,
        model_gone=error.scope == "model",
    )


def _refusal(status: Status, billing: Billing) -> Failure:
    if status.error is not None:
        return replace(failure_of(status.error, billing), unknown=False)
    return Failure(ErrorCode.PROVIDER_ERROR, f"the provider's job ended as {status.state}", billing=billing)


def _not_stored(error: StorageError, billing: Billing) -> Failure:
    if isinstance(error, ObjectTooLarge):
        return Failure(ErrorCode.CORRUPT_OUTPUT, f"the result is larger than {MAX_BYTES} bytes", billing=billing)
    if error.transient:
        raise StoreAway(str(error)) from error
    message = f"the result could not be stored: {error.reason}"
    return Failure(ErrorCode.STORAGE_ERROR, message, stage=Stage.UPLOADING, billing=billing, paid_for=True)
