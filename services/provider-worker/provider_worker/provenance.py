"""What a finished file is said to be: the statement that is signed, and the record of how it is marked."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Protocol

from media import DIGITAL_SOURCE_TYPE, Generator, Statement, mark_place
from provider_worker import says
from provider_worker.tasks import Task
from schemas.parts import Marking

GENERATOR = Generator("Backlot", version("backlot"))
OFF = "signing is switched off"


class StatementOf(Protocol):
    """The statement about one output of an attempt."""

    def __call__(self, *, output: int, content_sha256: str) -> Statement: ...


def statements_of(task: Task, seed: int | None) -> StatementOf:
    """See `statement_of`."""
    return partial(statement_of, task, seed)


def statement_of(task: Task, seed: int | None, *, output: int, content_sha256: str) -> Statement:
    """The statement about output number `output` of an attempt; `seed` is the provider's own, where it tells one."""
    made = says.lineage(task, seed)
    return Statement(
        generator=GENERATOR,
        provider=made.provider,
        model=made.model,
        at=task.intent_at,
        content_sha256=content_sha256,
        job_id=str(task.job.job_id),
        item=task.item.number,
        attempt=task.attempt,
        output=output,
        template=made.template,
        template_version=made.template_version,
        template_sha256=made.template_sha256,
        prompt_sha256=made.prompt_sha256,
        seed=made.seed,
    )


def marking_of(mime: str, why_not: str | None) -> Marking | None:
    """How a file of this type is marked; `why_not` says why it was not signed. None where it cannot be marked."""
    place = mark_place(mime)
    if place is None:
        return None
    return Marking(digital_source_type=DIGITAL_SOURCE_TYPE, place=place, signed=why_not is None, why_not=why_not)
