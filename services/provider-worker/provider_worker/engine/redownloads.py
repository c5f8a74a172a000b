"""Paid results that never arrived are fetched again: by their own name, without another submit (R79)."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chassis.database import is_transient
from chassis.errors import Transient
from chassis.telemetry import get_logger
from objects import StorageError
from provider_worker import metrics, says
from provider_worker.adapters.interface import ProviderError
from provider_worker.engine.attempts import facts
from provider_worker.engine.endings import outputs
from provider_worker.engine.ports import Finisher, Refused
from provider_worker.engine.production import Production, Undelivered
from provider_worker.engine.side_by_side import side_by_side
from provider_worker.provenance import statements_of
from provider_worker.routing import RETRYABLE, Failure
from provider_worker.tasks import PaidAttempt, Redownload, Staged
from schemas.events import GenerationSettled
from schemas.parts import Output

log = get_logger()

MOST = 20
MOST_TRIES = 4
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0
AGAIN_S, LONGEST_S = 600.0, 540.0
"""A try whose process died is made again after the first of these, and is broken off before that: two of them at once
would stage over each other."""

NOTHING_PAID = "no paid result of this item is known"
_LOST = "the paid result could not be had again"
_GONE = "the provider no longer has the result"
_OURS = "an unexpected error of the worker"


class RedownloadStore(Protocol):
    """See `store.redownloads.RedownloadDatabase`."""

    async def due(self, most: int, again_in_s: float) -> Sequence[Redownload]: ...

    async def answer(self, asked: Redownload, event: GenerationSettled, staged: Staged | None) -> bool: ...

    async def postpone(self, asked: Redownload, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Had:
    staged: Staged
    outputs: Sequence[Output]


@dataclass(frozen=True, slots=True)
class _NotHad:
    """`passes`: it may go better next time."""

    why: str
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Redownloads:
    """Answers requests, each in the end with the result or with why there is none. `wake`: requests have come."""

    store: RedownloadStore
    production: Production
    finisher: Finisher
    wake: asyncio.Event

    async def step(self) -> bool:
        """Tries what is due; True when there was something."""
        found = await self.store.due(MOST, AGAIN_S)
        await side_by_side(self._try(asked) for asked in found)
        return bool(found)

    async def _try(self, asked: Redownload) -> None:
        try:
            await self._tried(asked)
        except Exception as error:
            self._unexpected(asked, error)
            # A database that is away says nothing about the result.
            if asked.paid is None or asked.tries < MOST_TRIES or is_transient(error):
                await self._later(asked)
            else:
                await self._tell(asked, asked.paid, _NotHad(f"{_LOST}: {_OURS}"))

    async def _tried(self, asked: Redownload) -> None:
        if asked.paid is None:
            event = says.nothing_to_fetch(asked.job_id, asked.item, asked.request, NOTHING_PAID)
            await self._answer(asked, event, None, "unknown")
            return
        found = await self._found(asked, asked.paid)
        if isinstance(found, _NotHad) and found.passes and asked.tries < MOST_TRIES:
            log.warning("redownload_not_yet", reason=found.why, tries=asked.tries, **facts(asked.paid.task))
            await self._later(asked)
        else:
            await self._tell(asked, asked.paid, found)

    async def _later(self, asked: Redownload) -> None:
        await self.store.postpone(asked, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(asked.tries - 1, 10)))

    async def _tell(self, asked: Redownload, paid: PaidAttempt, found: _Had | _NotHad) -> None:
        staged, made, evidence = None, list[Output](), "the paid result was fetched again"
        if isinstance(found, _Had):
            staged, made = found.staged, list(found.outputs)
        else:
            evidence = found.why
        event = says.settled(
            paid.task,
            billing=paid.billing,
            evidence=evidence,
            late_outputs=made,
            seed=staged.seed if staged else None,
            redownload=asked.request,
        )
        await self._answer(asked, event, staged, "fetched" if staged else "not_had")

    async def _answer(self, asked: Redownload, event: GenerationSettled, staged: Staged | None, outcome: str) -> None:
        if await self.store.answer(asked, event, staged):
            metrics.REDOWNLOADS.labels(outcome).inc()
            log.info("redownload_answered", outcome=outcome, evidence=event.evidence, **_about(asked))

    def _unexpected(self, asked: Redownload, error: Exception) -> None:
        metrics.UNFORESEEN.labels("redownload").inc()
        words = "".join(traceback.format_exception(error))
        told = words if asked.paid is None else self.production.told(words, asked.paid.task)
        log.error("redownload_unexpected_error", exception=told, tries=asked.tries, **_about(asked))

    async def _found(self, asked: Redownload, paid: PaidAttempt) -> _Had | _NotHad:
        """What is staged still, or else what the provider still has."""
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._staged(paid) or await self._fetched(paid)
        except (ProviderError, TimeoutError, Transient) as error:
            passes = not isinstance(error, ProviderError) or error.retryable
            return _NotHad(f"{_LOST}: {_words(error)}", passes)
        except Exception as error:
            self._unexpected(asked, error)
            return _NotHad(f"{_LOST}: {_OURS}", passes=True)

    async def _staged(self, paid: PaidAttempt) -> _Had | None:
        staged = paid.task.staged
        if staged is None:
            return None
        try:
            statements = statements_of(paid.task, staged.seed)
            finished = await self.finisher.finish(staged.pieces, paid.task.item, statements)
        except (Refused, Transient, StorageError, OSError) as error:
            log.info("staged_result_not_used", error=str(error), **facts(paid.task))
            return None
        return _Had(staged, outputs(finished))

    async def _fetched(self, paid: PaidAttempt) -> _Had | _NotHad:
        found = await self.production.look_up(paid.task)
        if isinstance(found, Undelivered):
            gone = found is Undelivered.UNKNOWN_THERE
            return _NotHad(f"{_GONE if gone else _LOST}: {found.value}", passes=found is Undelivered.AT_WORK)
        if isinstance(found, Failure):
            return _NotHad(f"{_LOST}: {found.message}", passes=found.code in RETRYABLE)
        try:
            statements = statements_of(paid.task, found.staged.seed)
            finished = await self.finisher.finish(found.staged.pieces, paid.task.item, statements)
        except Refused as error:
            return _NotHad(f"the result is not usable: {error}", passes=found.fetched)
        return _Had(found.staged, outputs(finished))


def _words(error: Exception) -> str:
    return error.message if isinstance(error, ProviderError) else str(error) or "it took too long"


def _about(asked: Redownload) -> dict[str, Any]:
    if asked.paid is not None:
        return facts(asked.paid.task)
    return {"job_id": str(asked.job_id), "tenant": str(asked.tenant_id), "item": asked.item}
