"""What becomes of a job's prompts: tasks, one quote, and an end for what nobody can make. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from provider_worker import says
from provider_worker.routing import IsClosed, Offer, Price, RouteTable, offers_for, pool_of
from provider_worker.tasks import CancelReason, NewTask, State
from schemas.event import Event
from schemas.events import PromptsPrepared
from schemas.parts import ErrorCode, PreparedItem


@dataclass(frozen=True, slots=True)
class PresentAsset:
    """What is there under an item's name, whole. What is not known of it is None."""

    id: UUID
    width: int | None = None
    height: int | None = None
    prompt_sha256: str | None = None

    def differences(self, item: PreparedItem) -> list[str]:
        """In what it is not what `item` asks for, in words for its user: it is present all the same (R88)."""
        found = []
        if self.width and self.height and item.width and (self.width, self.height) != (item.width, item.height):
            found.append(f"what is there is {self.width}x{self.height}, not {item.width}x{item.height}")
        if self.prompt_sha256 and self.prompt_sha256 != item.prompt_sha256:
            found.append("what is there was made with another prompt")
        return found


NOTHING_PRESENT: Mapping[str, PresentAsset] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Planning:
    """A job that waits for its plan, until it is known what of it is there.

    `epoch` is the fencing token of its lease and counts how often it was taken, `failures` the errors nobody foresaw.
    """

    prepared: PromptsPrepared
    tenant_id: UUID
    traceparent: str | None
    epoch: int
    failures: int
    cancelled: CancelReason | None

    @property
    def job_id(self) -> UUID:
        return self.prepared.job_id


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks of a job and what is said about them at once."""

    tasks: tuple[NewTask, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans jobs by a route table; `price` asks an adapter, `new_id` makes attempt ids."""

    table: RouteTable
    price: Price
    new_id: Callable[[], UUID]
    is_closed: IsClosed = lambda provider: False

    def plan(
        self,
        prepared: PromptsPrepared,
        tenant_id: UUID,
        cancelled: CancelReason | None,
        present: Mapping[str, PresentAsset] = NOTHING_PRESENT,
    ) -> Plan:
        """A stopped job's items are cancelled without a quote; the others get their first usable route's price.

        `present` are the assets behind logical names; their items are skipped, without a task (R89).
        """
        if cancelled is not None:
            return self._cancelled(prepared, tenant_id, cancelled)
        tasks, quote, refusals, skips = [], [], [], []
        for item in _wanted(prepared):
            if item.logical_name in present:
                there = present[item.logical_name]
                skips.append(says.skipped(prepared.job_id, item.number, there.id, there.differences(item)))
                continue
            offers, reason = offers_for(self.table, item, prepared.route, self.price, self.is_closed)
            tasks.append(self._task(prepared.job_id, tenant_id, item, offers[0] if offers else None, State.FAILED))
            if offers:
                quote.append((item.number, offers[0]))
            else:
                refusals.append(says.never_started(prepared.job_id, item.number, 0, ErrorCode.INVALID_REQUEST, reason))
        return Plan(tuple(tasks), (*skips, *self._quote(prepared, quote), *refusals))

    def refuse(self, prepared: PromptsPrepared, tenant_id: UUID, message: str) -> Plan:
        """Ends every item of a job whose prompts cannot be handled, so that nobody waits for them."""
        items = list(_wanted(prepared))
        return Plan(
            tuple(self._task(prepared.job_id, tenant_id, item, None, State.FAILED) for item in items),
            tuple(
                says.never_started(prepared.job_id, item.number, 0, ErrorCode.INVALID_REQUEST, message)
                for item in items
            ),
        )

    def _cancelled(self, prepared: PromptsPrepared, tenant_id: UUID, reason: CancelReason) -> Plan:
        items = list(_wanted(prepared))
        return Plan(
            tuple(self._task(prepared.job_id, tenant_id, item, None, State.CANCELLED) for item in items),
            tuple(says.cancelled(prepared.job_id, item.number, 0, reason) for item in items),
        )

    def _task(self, job_id: UUID, tenant_id: UUID, item: PreparedItem, offer: Offer | None, without: State) -> NewTask:
        return NewTask(
            job_id=job_id,
            tenant_id=tenant_id,
            item=item,
            state=State.QUOTING if offer else without,
            attempt=1 if offer else 0,
            attempt_id=self.new_id(),
            offer=offer,
            pool=pool_of(offer.provider, item.kind) if offer else "",
        )

    def _quote(self, prepared: PromptsPrepared, offers: list[tuple[int, Offer]]) -> Iterator[Event]:
        if offers:
            yield says.quoted(
                prepared.job_id,
                prepared.asset_context.user_id,
                1,
                offers,
                currency=self.table.currency,
                price_version=self.table.price_version,
                max_cost_micros=prepared.max_cost_micros,
            )


def names_of(prepared: PromptsPrepared) -> list[str]:
    """The logical names under which something may be there already, each once."""
    return list(dict.fromkeys(item.logical_name for item in _wanted(prepared)))


def _wanted(prepared: PromptsPrepared) -> Iterator[PreparedItem]:
    """Items that have a prompt (R92), each number once."""
    seen: set[int] = set()
    for item in prepared.items:
        if not item.blank and item.number not in seen:
            seen.add(item.number)
            yield item
