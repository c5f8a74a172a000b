"""From a task to staged bytes: one paid call, never a blind second one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from random import Random

from chassis.ids import uuid7_time
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import GenerationRequest, ProviderAdapter, ProviderError, Status
from provider_worker.engine.asking import asked, native_format, request_of
from provider_worker.engine.discretion import Discretion
from provider_worker.engine.failures import billing_of, failure_of, refusal, spent
from provider_worker.engine.fetching import Delivery, Fetching
from provider_worker.engine.inputs import Held, InputRefused, InputsAway, nothing_held
from provider_worker.engine.submission import AtWork, Intend, IsTaken, Submission, late
from provider_worker.routing import Failure, RouteTable, Use
from provider_worker.tasks import LEFT_TO_OTHERS, Reference, Task
from schemas.parts import Billing, ErrorCode, PreparedItem

LAST_LOOK_S = 10.0
LOOK_OF_OTHERS_S = 30.0

CallbackUrl = Callable[[Task], str | None]
"""Where the provider of a task may say that it is done."""


class Undelivered(Enum):
    """Why there is nothing to fetch yet, or ever."""

    UNKNOWN_THERE = "the provider has no job under our reference"
    AT_WORK = "the provider is still at work"
    UNTOLD = "the provider can be asked for no job by our reference"


class Production:
    """Calls providers and stages what they make. `disabled` says of providers that cannot be used why not.

    `keys` are those of the providers: their words are passed on without them. `inputs` reads what items build on.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderAdapter],
        fetching: Fetching,
        table: RouteTable,
        *,
        still_ours: Callable[[Task], bool],
        random: Random,
        is_taken: IsTaken,
        disabled: Mapping[str, str] | None = None,
        callback_url: CallbackUrl = lambda task: None,
        keys: Collection[str] = (),
        inputs: Held = nothing_held,
    ) -> None:
        self._providers = providers
        self._disabled = disabled or {}
        self._fetching = fetching
        self._table = table
        self._still_ours = still_ours
        self._random = random
        self._is_taken = is_taken
        self._callback_url = callback_url
        self._discretion = Discretion(keys)
        self._inputs = inputs
        self._calling: set[int] = set()
        self._formats = {
            (name, able.kind, able.op): able.formats
            for name, adapter in providers.items()
            for able in adapter.capabilities()
        }

    def calling(self) -> Collection[int]:
        """Ids of tasks whose provider is being called and could not be asked what became of it."""
        return self._calling

    def price(self, use: Use, item: PreparedItem) -> int | str:
        """See `routing.Price`: nothing that the provider would refuse is quoted (R59)."""
        adapter = self._providers.get(use.provider)
        if adapter is None:
            return self._disabled.get(use.provider, "there is no such provider")
        try:
            request = self._in_its_format(asked(item, use.model, "", "0"), use.provider)
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

    async def produce(self, task: Task, intend: Intend) -> Delivery | Failure | AtWork:
        """Bytes, or why there are none, or when to look again.

        The attempt's deadline (R67) bounds what the provider does; what it has made is fetched even so. Raises
        `StoreAway`, and `LeaseLost`.
        """
        adapter = self._providers.get(task.offer.provider)
        made = self._left_to_others(task) if adapter is None else await self._produced(task, adapter, intend)
        return self._discreet(made, task) if isinstance(made, Failure) else made

    def told(self, words: str, task: Task) -> str:
        """`words` about a task as they may be logged, kept and shown: without keys and without its prompt."""
        return self._discretion.told(words, task.item.prompt)

    def _discreet(self, failure: Failure, task: Task) -> Failure:
        return replace(failure, message=self.told(failure.message, task))

    async def _produced(self, task: Task, adapter: ProviderAdapter, intend: Intend) -> Delivery | Failure | AtWork:
        if task.closed is not None:
            return Failure(task.closed.code, task.closed.message, retry_after=task.closed.seconds, unsent=True)
        submission = self._submission(task, adapter, intend)
        if task.time_left <= 0:
            return await self._given_up(submission)
        try:
            async with asyncio.timeout(task.time_left):
                found = await submission.look()
        except (ProviderError, InputsAway, InputRefused) as error:
            return _not_taken(error, submission.reference.spent_micros)
        except TimeoutError:
            return await self._given_up(submission)
        if isinstance(found, AtWork):
            return replace(found, wait=min(found.wait, task.time_left))
        return await self._delivered(submission, found) if isinstance(found, Status) else found

    def _left_to_others(self, task: Task) -> Failure | AtWork:
        """It was usable when this was quoted, and may be so in another process; a call that may be out there is
        nobody's to judge while its time runs."""
        if task.resuming:
            if task.time_left > 0 and task.cancelled is None:
                return AtWork(task.external or Reference(None), min(LOOK_OF_OTHERS_S, task.time_left))
            return Failure(ErrorCode.AUTH_ERROR, self._gone(task), unknown=True)
        if datetime.now(UTC) - uuid7_time(task.attempt_id) < LEFT_TO_OTHERS:
            return Failure(ErrorCode.TEMPORARY, self._gone(task), unsent=True, scope="replica")
        return Failure(ErrorCode.AUTH_ERROR, self._gone(task), unsent=True)

    async def look_up(self, task: Task) -> Delivery | Failure | Undelivered:
        """What an earlier call has come to by now. Raises `ProviderError`, `TimeoutError` and `StoreAway`."""
        adapter = self._providers.get(task.offer.provider)
        if adapter is None:
            raise ProviderError(ProviderCode.TEMPORARY, self._gone(task))
        try:
            found = await self._looked_up(self._submission(task, adapter, _no_phase))
        except ProviderError as error:
            raise replace(error, message=self.told(error.message, task)) from error
        return self._discreet(found, task) if isinstance(found, Failure) else found

    async def _looked_up(self, submission: Submission) -> Delivery | Failure | Undelivered:
        async with asyncio.timeout(LAST_LOOK_S):
            found = await self._last_status(submission)
        return await self._delivered(submission, found) if isinstance(found, Status) else found

    async def _last_status(self, submission: Submission) -> Status | Undelivered:
        ref = await submission.find()
        if ref is None:
            return Undelivered.UNKNOWN_THERE if _can_find(submission.adapter) else Undelivered.UNTOLD
        submission.reference = Reference(
            ref.external_id,
            ref.data,
            spent_micros=submission.reference.spent_micros,
            begun=submission.reference.begun,
            stopping=submission.reference.stopping,
        )
        status = await submission.adapter.poll(ref)
        if status.state == "running":
            submission.reference = replace(submission.reference, begun=True)
        return Undelivered.AT_WORK if status.state in {"queued", "running"} else status

    async def _given_up(self, submission: Submission) -> Delivery | Failure:
        """A job past its deadline may have finished: it is looked at once more, and stopped where it has not."""
        task = submission.task
        if task.item.inputs and not task.resuming and not submission.sent:
            message = "what it builds on could not be read in time"
            return Failure(ErrorCode.INVALID_REQUEST, message, unsent=True)
        timed_out = late(task, submission.adapter.name, submission.route.timeout_of(submission.adapter.name))
        try:
            found = await self._looked_up(submission)
            if found is Undelivered.AT_WORK and await submission.stop():
                found = await self._looked_up(submission)
        except (ProviderError, TimeoutError):
            found = Undelivered.AT_WORK
        if isinstance(found, Undelivered):
            lost = task.resuming and submission.reference.external_id is None and not submission.resendable
            return Failure(ErrorCode.TEMPORARY, "the answer was lost", unknown=True) if lost else timed_out
        if isinstance(found, Failure) and submission.reference.stopping:
            return Failure(timed_out.code, timed_out.message, billing=found.billing)
        return found

    async def _delivered(self, submission: Submission, status: Status) -> Delivery | Failure:
        task, adapter = submission.task, submission.adapter
        billing = self._billing(submission, status)
        if status.state != "succeeded":
            return refusal(status, billing)
        if status.next_phase is not None:
            return Failure(ErrorCode.TIMEOUT, f"{adapter.name} was done with its first phase too late", billing=billing)

        async def again() -> Status | None:
            try:
                ref = await submission.find()
                return None if ref is None else await adapter.poll(ref)
            except ProviderError:
                return None

        return await self._fetching.delivered(task, adapter, status, billing, again)

    def _billing(self, submission: Submission, status: Status) -> Billing:
        quoted = submission.task.offer.amount_micros
        known = submission.reference
        return billing_of(status, self._table.currency, quoted, known.spent_micros, begun=known.begun)

    def _submission(self, task: Task, adapter: ProviderAdapter, intend: Intend) -> Submission:
        return Submission(
            task=task,
            adapter=adapter,
            request=self._in_its_format(request_of(task, self._callback_url(task)), task.offer.provider),
            route=self._table.route(task.item.kind),
            policy=self._table.policy(adapter.name),
            currency=self._table.currency,
            resendable=self.resendable(adapter.name),
            still_ours=self._still_ours,
            intend=intend,
            random=self._random,
            is_taken=self._is_taken,
            calling=self._calling,
            reference=task.external or Reference(None),
            inputs=self._inputs,
        )

    def _in_its_format(self, request: GenerationRequest, provider: str) -> GenerationRequest:
        """The request for a format that the provider makes, where that can be made into the asked one."""
        name = native_format(request.format, self._formats.get((provider, request.kind, request.op), ()))
        return request if name == request.format else replace(request, format=name)

    def _gone(self, task: Task) -> str:
        name = task.offer.provider
        return f"the provider {name} is disabled: {self._disabled.get(name, 'it is no longer configured')}"


def _not_taken(error: ProviderError | InputsAway | InputRefused, spent_micros: int) -> Failure:
    """What cannot be read now is waited for, what cannot be built on ends the item; neither speaks of the provider."""
    match error:
        case InputsAway():
            return Failure(ErrorCode.TEMPORARY, str(error), unsent=True, scope="inputs")
        case InputRefused():
            return Failure(ErrorCode.INVALID_REQUEST, str(error), unsent=True)
        case ProviderError():
            return failure_of(error, spent(spent_micros))


def _can_find(adapter: ProviderAdapter) -> bool:
    """Whether `find` that finds nothing means that there is nothing."""
    return any(found.idempotency != "none" for found in adapter.capabilities())


async def _no_phase(reference: Reference) -> bool:
    return False
