"""Stories that wait for a language model, one at a time: claimed by lease, asked for, written behind a fence.

No transaction is open while the model thinks. A cancel meanwhile wins, and ends the question. Whatever happens, the
story's manifest is composed: by the model, or by the rules with a warning once there is no more time or no more use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from chassis import crash
from chassis.telemetry import get_logger
from prompt_service.composing.by_rules import compose
from prompt_service.composing.composition import Composition
from prompt_service.composing.conversation import (
    Message,
    Told,
    WrongAnswer,
    correction,
    opening,
    read_answer,
)
from prompt_service.composing.language_model import NoAnswer
from prompt_service.metrics import COMPOSED, COMPOSING_SECONDS

log = get_logger()

MOST_CLAIMS = 4
"""How often a story is claimed for the model: what ends the process each time must not do so for ever."""
PAUSES_S = (1.0, 4.0, 10.0)
BY_RULES = "no language model gave a usable answer: the items are composed by rules"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A story whose lease is ours while nobody else has claimed it: `epoch` grows with every claim.

    `left_s`: seconds, by the database's clock, until it is composed by rules.
    """

    job_id: UUID
    epoch: int
    told: Told
    left_s: float


class Stories(Protocol):
    """Where stories wait."""

    async def claim(self, lease_s: float) -> Claimed | None:
        """Lease the next story that is due, fairly over tenants."""
        ...

    async def renew(self, claimed: Claimed, lease_s: float) -> bool:
        """Make the lease run from now; False where it is no longer ours, or nobody waits for the story."""
        ...

    async def postpone(self, claimed: Claimed, seconds: float) -> None:
        """Give the lease back; the story is due again in `seconds`."""
        ...

    async def finish(self, claimed: Claimed, composition: Composition) -> bool:
        """Write the manifest's prompts and say them, in one transaction; False where the lease is not ours."""
        ...


class Model(Protocol):
    """Who is asked."""

    async def ask(self, messages: Sequence[Message], *, seconds: float) -> str:
        """Its answer. Raises `NoAnswer`."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how long one answer may take, and how long a story is left alone while its lease is not renewed."""

    answer_s: float
    lease_s: float = 15.0


class LeaseLost(Exception):
    """Somebody else has the story, or nobody wants it any more."""


class Turns:
    """The loop's step over one shelf of stories and one model."""

    def __init__(self, stories: Stories, model: Model, pace: Pace) -> None:
        self._stories = stories
        self._model = model
        self._pace = pace

    async def step(self) -> bool:
        """Compose one story; False when none was due."""
        claimed = await self._stories.claim(self._pace.lease_s)
        if claimed is None:
            return False
        with COMPOSING_SECONDS.time():
            await self._take(claimed)
        return True

    async def _take(self, claimed: Claimed) -> None:
        crash.point("prompts.before_compose")
        try:
            composition, reason = await self._while_ours(claimed), "answered"
        except LeaseLost:
            log.info("composing_ended", job_id=claimed.job_id)
            return
        except (NoAnswer, WrongAnswer) as error:
            pause = _pause(claimed, error)
            if pause is not None:
                log.warning("composing_postponed", job_id=claimed.job_id, reason=_reason(error), seconds=pause)
                await self._stories.postpone(claimed, pause)
                return
            composition, reason = _by_rules(claimed.told), _reason(error)
            log.warning("composed_by_rules", job_id=claimed.job_id, reason=reason)
        crash.point("prompts.after_compose")
        if await self._stories.finish(claimed, composition):
            COMPOSED.labels(reason).inc()
        else:
            log.info("composing_ended", job_id=claimed.job_id)

    async def _while_ours(self, claimed: Claimed) -> Composition:
        """The model's composition, unless the lease is lost before it is there."""
        asking = asyncio.create_task(self._ask(claimed))
        renewing = asyncio.create_task(self._renew(claimed))
        try:
            await asyncio.wait({asking, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            raise LeaseLost
        finally:
            asking.cancel()
            renewing.cancel()
            await asyncio.gather(asking, renewing, return_exceptions=True)

    async def _ask(self, claimed: Claimed) -> Composition:
        """What the model makes of a story; a wrong answer is asked for once more, with what was wrong."""
        if claimed.epoch > MOST_CLAIMS:
            raise NoAnswer("claimed_too_often")
        until = asyncio.get_running_loop().time() + claimed.left_s
        question = opening(claimed.told)
        answer = await self._answer(question, until)
        try:
            return read_answer(answer, claimed.told)
        except WrongAnswer as wrong:
            log.info("composition_wrong", job_id=claimed.job_id, faults=len(wrong.faults))
            question += correction(answer, wrong.faults)
        return read_answer(await self._answer(question, until), claimed.told)

    async def _answer(self, question: Sequence[Message], until: float) -> str:
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            raise NoAnswer("too_late")
        return await self._model.ask(question, seconds=min(left, self._pace.answer_s))

    async def _renew(self, claimed: Claimed) -> None:
        """Until the lease is lost."""
        while True:
            await asyncio.sleep(self._pace.lease_s / 3)
            try:
                if not await self._stories.renew(claimed, self._pace.lease_s):
                    return
            except Exception as error:  # the fence decides at the end; a lost lease costs a repetition
                log.warning("lease_not_renewed", job_id=claimed.job_id, exc_info=error)


def _pause(claimed: Claimed, error: Exception) -> float | None:
    """After how many seconds it is asked again; None where there is no use or no time."""
    if not isinstance(error, NoAnswer) or not error.transient or claimed.epoch > len(PAUSES_S):
        return None
    pause = max(PAUSES_S[claimed.epoch - 1], error.retry_after)
    return pause if pause < claimed.left_s else None


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, NoAnswer) else "wrong_answer"


def _by_rules(told: Told) -> Composition:
    return replace(compose(told.topic, told.direction, told.atmosphere), warnings=(BY_RULES,))
