"""Whether what an adapter made of an answer can be worked with: of whatever was answered, that is all that is asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from provider_worker.adapters.interface import JobRef, ProviderError, Status, WebhookEvent, WebhookRefused

ANSWER_S = 20.0

Answered = JobRef | Status | WebhookEvent | bool | None
Ask = Callable[[], Awaitable[Answered]]


async def told(ask: Ask) -> Answered | Exception:
    """What comes of asking: an answer, or what is raised."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await ask()
    except Exception as error:
        return error


def fault_of(found: Answered | Exception) -> str | None:
    """In words, what is wrong with what an adapter made of an odd answer."""
    if isinstance(found, Exception) and not isinstance(found, ProviderError | WebhookRefused):
        return f"{type(found).__name__} was raised: {found}"
    ref = found.ref if isinstance(found, WebhookEvent) else found
    if isinstance(ref, JobRef) and not is_kept(ref):
        return f"{ref} cannot be written down"
    if isinstance(found, Status) and not is_sound(found):
        return f"{found} is no status"
    return None


def is_kept(ref: JobRef) -> bool:
    """Whether a database keeps it, and gives it back as it was."""
    text = json.dumps([ref.external_id, dict(ref.data)], allow_nan=False)
    return bool(ref.external_id) and "\\u0000" not in text and not re.search(r"\\ud[89a-f]", text)


def is_sound(status: Status) -> bool:
    """Whether the engine can do something with it: a share of the work, results that are somewhere, a cost in whole."""
    progress, cost = status.progress, status.cost
    whole = cost is None or type(cost.amount_micros) is int
    share = progress is None or (type(progress) is int and 0 <= progress <= 100)
    there = all(found.data is not None or isinstance(found.url, str) for found in status.artifacts)
    seeds = [found.meta.get("seed") for found in status.artifacts]
    return whole and share and there and all(type(seed) is not int or 0 <= seed < 2**63 for seed in seeds)


def essence(found: Answered | Exception) -> Any:
    """What the money was paid for: the job, or what was made of it."""
    if isinstance(found, JobRef):
        return found.external_id
    if isinstance(found, Status):
        made = {(one.url, one.data) for one in found.artifacts}
        return found.state, found.external_id, made, found.next_phase
    return str(found)
