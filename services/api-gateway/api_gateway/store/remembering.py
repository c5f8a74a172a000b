"""Histories of jobs as this process left them, so that a job's facts are not read again for each event about it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from api_gateway.history import History

_FACTS = 50_000


@dataclass(slots=True)
class Remembered:
    """Histories by job, each with the transaction that brought its job up to date.

    A history may be used only under its job's lock, and only while the row of the job was written by that very
    transaction (its `xmin`): then that transaction was committed, and nobody, no other replica either, has added a
    fact since, because whoever adds one writes the row. `most` is how many facts are kept; the longest unused go first.
    """

    most: int = _FACTS
    _kept: OrderedDict[UUID, tuple[int, History]] = field(default_factory=OrderedDict)
    _facts: int = 0

    def take(self, job_id: UUID, writer: int) -> History | None:
        """The history of a job whose row `writer` wrote, or None. It is the caller's now: to be kept again, or lost."""
        found = self._kept.pop(job_id, None)
        if found is None:
            return None
        self._facts -= len(found[1].facts)
        return found[1] if found[0] == writer else None

    def keep(self, job_id: UUID, writer: int, history: History) -> None:
        """Keeps a history that holds all facts of its job, if the transaction `writer` is committed."""
        self._kept[job_id] = (writer, history)
        self._facts += len(history.facts)
        while self._facts > self.most:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._facts -= len(oldest.facts)

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Drops everything."""
        self._kept.clear()
        self._facts = 0
