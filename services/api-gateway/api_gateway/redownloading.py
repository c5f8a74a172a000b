"""Which items of a job can be fetched again, and why the others can not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from api_gateway.facts import Fact, redownload_requested
from api_gateway.history import ItemHistory, read
from api_gateway.items import ItemState
from api_gateway.projection import item_settled, state_of
from chassis.errors import Conflict, FieldError, Invalid


def ask(facts: Sequence[Fact], wanted: Sequence[int]) -> list[Fact]:
    """Requests for the `wanted` items; for none named, for all of which something can be had. Those under way stand.

    Raises `Invalid` for an item the job does not have, `Conflict` where there is nothing to fetch.
    """
    known = read(facts)
    job = state_of(known)
    if not job.sealed:
        raise Conflict("the job has not ended: what is paid for is still being fetched")
    items = {item.number: item for item in job.items}
    _check(wanted, items)
    refusals = {
        number: _why_not(items[number], known.of(number), settled=item_settled(known, number))
        for number in wanted or items
    }
    chosen = [number for number, why in refusals.items() if why is None]
    if not chosen or (wanted and len(chosen) < len(refusals)):
        raise Conflict(f"there is nothing to fetch: {_reason(items.values(), refusals.values())}")
    return [_request(number, known.of(number)) for number in chosen if not _is_under_way(items[number])]


def _check(wanted: Sequence[int], items: Collection[int]) -> None:
    missing = [
        FieldError(f"/items/{place}", f"the job has no item {number}")
        for place, number in enumerate(wanted)
        if number not in items
    ]
    if missing:
        raise Invalid(missing[0].detail, errors=missing)


def _why_not(item: ItemState, history: ItemHistory, *, settled: bool) -> str | None:
    if item.asset_id is not None:
        return f"item {item.number} has its asset"
    if _is_here(history) or any(history.captured.values()):
        return None
    if not settled:
        return f"the bill of item {item.number} is open; what it brings is fetched by itself"
    return f"nothing was paid for item {item.number}"


def _reason(items: Collection[ItemState], refusals: Collection[str | None]) -> str:
    """The first refusal, of an item without its asset if there is one."""
    if items and all(item.asset_id is not None for item in items):
        return "every item has its asset"
    found = [why for why in refusals if why is not None]
    return min(found, key=lambda why: why.endswith("has its asset"), default="nothing was paid for the job")


def _is_here(history: ItemHistory) -> bool:
    """Whether what was paid for is stored, as a late output: it is adopted, and not fetched."""
    return any(fact.body["role"] == "primary" for fact in history.stored)


def _is_under_way(item: ItemState) -> bool:
    return item.redownload is not None and item.redownload.state == "requested"


def _request(number: int, history: ItemHistory) -> Fact:
    return redownload_requested(number, history.asked + 1, fetch=not _is_here(history))
