"""What providers call back with: checked by their adapters, and taken as a hint to look at the job now.

Whatever a callback says of a job, the provider is asked: so a forged or an old one can do no more than cost a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.database import is_transient
from chassis.telemetry import get_logger
from provider_worker import metrics
from provider_worker.adapters.interface import ProviderAdapter, ProviderError, WebhookEvent, WebhookRefused
from provider_worker.callbacks import Callback, Outcome
from provider_worker.engine.side_by_side import side_by_side

log = get_logger()

MOST = 20
AGAIN_S = 60.0
"""A callback whose holder died is looked at again after this."""
UNKNOWN_S = 60.0
"""So long a job that nobody knows may still turn out to be ours: the answer to its submit may be on its way."""
PATIENCE_S = 3600.0
"""So long an attempt is waited for that is being worked on, and keys that cannot be fetched."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0
LONGEST_WAIT_AFTER_ERRORS_S = 300.0
LONGEST_NAME = 500
FORGET_AFTER_S = 24 * 3600.0
_MAY_PASS = {Outcome.UNKNOWN_JOB: UNKNOWN_S, Outcome.BUSY: PATIENCE_S}


class CallbackStore(Protocol):
    """See `store.callbacks.CallbackDatabase`."""

    async def due(self, most: int, again_in_s: float) -> Sequence[Callback]: ...

    async def apply(self, callback: Callback, event: WebhookEvent) -> Outcome: ...

    async def close(self, callback: Callback, outcome: Outcome) -> None: ...

    async def postpone(self, callback: Callback, seconds: float) -> None: ...

    async def forget(self, age_s: float) -> int: ...


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Steps for loops; each returns True when there was something. `ready` is called when there is something to ask.

    `wake` ends the wait of the loop: callbacks have come.
    """

    store: CallbackStore
    providers: Mapping[str, ProviderAdapter]
    ready: Callable[[], None]
    wake: asyncio.Event

    async def step(self) -> bool:
        """Looks at what is due."""
        callbacks = await self.store.due(MOST, AGAIN_S)
        await side_by_side(self._look_at(callback) for callback in callbacks)
        return bool(callbacks)

    async def sweep(self) -> bool:
        """Forgets what was done with long ago: no provider sends it again."""
        forgotten = await self.store.forget(FORGET_AFTER_S)
        metrics.CALLBACKS_SWEPT.inc(forgotten)
        return bool(forgotten)

    async def _look_at(self, callback: Callback) -> None:
        try:
            if await self._handle(callback):
                self.ready()
        except Exception as error:
            metrics.UNFORESEEN.labels("callback").inc()
            log.error("callback_unexpected_error", tries=callback.tries, exc_info=error, **_facts(callback))
            # A database that is away says nothing about the callback.
            if callback.age_s < PATIENCE_S or is_transient(error):
                await self._postpone(callback, LONGEST_WAIT_AFTER_ERRORS_S)
            else:
                await self._refuse(callback, "malformed")

    async def _handle(self, callback: Callback) -> bool:
        """Whether a provider is to be asked now."""
        try:
            event = await self._parsed(callback)
        except WebhookRefused as refused:
            await self._refuse(callback, refused.reason)
            return False
        except ProviderError as error:
            await self._wait_for_keys(callback, error)
            return False
        outcome = await self.store.apply(callback, event)
        if callback.age_s < _MAY_PASS.get(outcome, 0.0):
            await self._postpone(callback)
            return False
        if outcome in _MAY_PASS:
            await self.store.close(callback, outcome)
        self._note(callback, event, outcome)
        return outcome in {Outcome.HINTED, Outcome.LINKED}

    async def _parsed(self, callback: Callback) -> WebhookEvent:
        adapter = self.providers.get(callback.provider)
        if adapter is None:
            raise WebhookRefused("no_provider")
        try:
            event = await adapter.parse_webhook(callback.headers, callback.body, callback.received_at)
        except (WebhookRefused, ProviderError):
            raise
        except Exception as error:
            log.error("callback_not_understood", provider=callback.provider, exc_info=error)
            raise WebhookRefused("malformed") from error
        if not all(map(_is_name, (event.delivery_id, event.ref.external_id if event.ref else ""))):
            raise WebhookRefused("malformed")
        return event

    async def _refuse(self, callback: Callback, reason: str) -> None:
        await self.store.close(callback, Outcome.REFUSED)
        metrics.CALLBACKS_REFUSED.labels(callback.provider, reason).inc()
        log.warning("callback_refused", reason=reason, **_facts(callback))

    async def _wait_for_keys(self, callback: Callback, error: ProviderError) -> None:
        log.warning("callback_keys_not_had", error=str(error), **_facts(callback))
        if callback.age_s < PATIENCE_S:
            await self._postpone(callback)
        else:
            await self._refuse(callback, "no_keys")

    async def _postpone(self, callback: Callback, longest: float = LONGEST_WAIT_S) -> None:
        await self.store.postpone(callback, min(longest, FIRST_WAIT_S * 2.0 ** min(callback.tries - 1, 12)))

    def _note(self, callback: Callback, event: WebhookEvent, outcome: Outcome) -> None:
        signature = "verified" if event.verified else "unsigned"
        metrics.CALLBACKS.labels(callback.provider, signature, outcome.value).inc()
        external_id = event.ref.external_id[:200] if event.ref else None
        log.info("callback_applied", outcome=outcome.value, external_id=external_id, **_facts(callback))


def _is_name(text: str) -> bool:
    """Whether a table and its index can keep it."""
    return len(text) <= LONGEST_NAME and "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _facts(callback: Callback) -> dict[str, str | None]:
    attempt = callback.attempt_id
    return {"provider": callback.provider, "attempt_id": None if attempt is None else str(attempt)}
