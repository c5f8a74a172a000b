"""Which provider makes an item, at what price, and what follows when it does not. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from schemas.parts import Billing, ErrorCode, Kind, PreparedItem, Stage
from schemas.parts import Route as Wish

RETRYABLE = frozenset({ErrorCode.RATE_LIMIT, ErrorCode.TEMPORARY, ErrorCode.TIMEOUT})
NEVER_BY_WAITING = frozenset({ErrorCode.AUTH_ERROR, ErrorCode.QUOTA_EXCEEDED, ErrorCode.INVALID_REQUEST})
QUEUE_WAIT_S = 5.0
LONGEST_HOLD_S = 300.0
"""A provider may name any moment; no deadline runs while an item waits for it."""
REMAKES = 1
"""How often an item whose paid result was unusable is made again at the same provider."""

NO_BILL = Billing(state="none")

Scope = Literal["request", "account", "model", "queue", "replica", "inputs"]


@dataclass(frozen=True, slots=True)
class Use:
    """One provider with the model it is asked for, and the time an attempt has there where it is not the route's."""

    provider: str
    model: str
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What one output costs at most at one provider's model, in micro-units of the table's currency."""

    provider: str
    model: str
    amount_micros: int


Price = Callable[[Use, PreparedItem], int | str]
"""The upper bound of what the item costs there, in micro-units, or in words why it cannot be made there."""

IsClosed = Callable[[str], bool]
"""Whether a provider's breaker is open, so that another one is asked first."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds before each further call to a provider that refused for now; `jitter` is a share of the wait (R61)."""

    waits: tuple[float, ...] = (1.0, 2.0, 4.0)
    jitter: float = 0.2

    @property
    def max_retries(self) -> int:
        return len(self.waits)


@dataclass(frozen=True, slots=True)
class KindRoute:
    """Where a kind is made, in fallback order; slots per tenant and provider, times in seconds (R67, R80)."""

    kind: Kind
    uses: tuple[Use, ...]
    per_tenant: int
    timeout_s: float
    poll_s: float

    def timeout_of(self, provider: str) -> float:
        """Seconds that an attempt has at this provider (R67)."""
        own = next((use.timeout_s for use in self.uses if use.provider == provider), None)
        return self.timeout_s if own is None else own


@dataclass(frozen=True, slots=True)
class Account:
    """What a provider allows all of us at once: `concurrency` jobs, and calls by a bucket of `burst` and `per_s` more.

    None: without limit.
    """

    concurrency: int | None = None
    burst: float | None = None
    per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes with one price list. `accounts` are the limits of providers that have some."""

    currency: str
    price_version: str
    routes: Mapping[Kind, KindRoute]
    retries: Mapping[str, RetryPolicy] = field(default_factory=dict)
    fallback_on: frozenset[ErrorCode] = frozenset()
    unknown_grace_s: float = 120.0
    accounts: Mapping[str, Account] = field(default_factory=dict)

    def route(self, kind: Kind) -> KindRoute:
        """The kind's route; one without providers where it is gone since the item was planned."""
        return self.routes.get(kind) or KindRoute(kind, (), per_tenant=1, timeout_s=60.0, poll_s=2.0)

    def policy(self, provider: str) -> RetryPolicy:
        return self.retries.get(provider, RetryPolicy())


def pool_of(provider: str, kind: Kind) -> str:
    """The name of the slots that a tenant's items of this kind share at this provider (R80)."""
    return f"{provider}/{kind.value}"


def offers_for(
    table: RouteTable, item: PreparedItem, wish: Wish, price: Price, is_closed: IsClosed = lambda provider: False
) -> tuple[Sequence[Offer], str]:
    """The offers that can make `item`, in order, and in words why there is none where there is none.

    A wish for providers narrows the route and orders it; without fallback the first usable offer is the only one.
    Otherwise those whose breaker is open come last.
    """
    route = table.routes.get(item.kind)
    if route is None:
        return (), f"no provider makes {item.kind.value}"
    wanted = _wanted(route.uses, wish.providers)
    if not wanted:
        makers = ", ".join(use.provider for use in route.uses)
        return (), f"{item.kind.value} is made by {makers}, not by {', '.join(wish.providers)}"
    if wish.fallback:
        wanted.sort(key=lambda use: is_closed(use.provider))
    offers, reasons = [], []
    for use in wanted:
        found = price(use, item)
        if isinstance(found, str):
            reasons.append(f"{use.provider}: {found}")
            continue
        offers.append(Offer(use.provider, use.model, found))
        if not wish.fallback:
            break
    return offers, "" if offers else "; ".join(reasons)


def _wanted(uses: Sequence[Use], providers: Sequence[str]) -> list[Use]:
    if not providers:
        return list(uses)
    by_name = {use.provider: use for use in uses}
    return [by_name[name] for name in dict.fromkeys(providers) if name in by_name]


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt, or one call of it, that came to nothing. `message` is safe to show.

    `unknown`: nobody can say whether the provider took the job. `retry_after` is in seconds (R63). `scope` says what it
    is about: with `model` another provider may still serve the request, with `queue` there are too many jobs of ours,
    with `replica` this process cannot ask the provider and another one may, with `inputs` what it builds on cannot be
    read for now.
    `paid_for`: the provider has the result, so that nobody is paid for another one (R79). `unsent`: its breaker was
    open, or it was not got so far, and nothing was asked.
    """

    code: ErrorCode
    message: str
    stage: Stage = Stage.GENERATING
    billing: Billing = NO_BILL
    unknown: bool = False
    retry_after: float | None = None
    scope: Scope = "request"
    paid_for: bool = False
    unsent: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a bill or a result may still come: nothing is sent again while it may."""
        return self.unknown or self.billing.state == "pending"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an item has come: `calls` at `offer` within this attempt, what is held for the attempt, seconds left.

    `resendable`: a second submit under the same reference makes no second job at this provider. `unknown_s`: seconds
    since the call whose outcome may be unknown.
    """

    offer: Offer
    offers: Sequence[Offer]
    held_micros: int
    calls: int
    remakes: int
    tried: frozenset[str]
    time_left: float
    resendable: bool = False
    unknown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Call the same provider again after `wait` seconds, in the same attempt."""

    wait: float


@dataclass(frozen=True, slots=True)
class Hold:
    """The provider takes nothing of ours for now: wait `wait` seconds, which is no call and takes no time of it."""

    wait: float


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nobody knows whether the provider took the job: after `wait` seconds it is looked up before anything is sent."""

    wait: float


@dataclass(frozen=True, slots=True)
class Switch:
    """Call another provider at once, in the same attempt: nothing was billed, and it costs no more than is held."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Requote:
    """A further attempt that has to be held for first. `remake`: at the same provider, after a paid bad result."""

    offer: Offer
    remake: bool


@dataclass(frozen=True, slots=True)
class End:
    """The item's last attempt has failed."""


Next = Retry | Hold | LookAgain | Switch | Requote | End


def after(failure: Failure, standing: Standing, table: RouteTable, random: Random) -> Next:
    """What follows a failure (R61, R63, R65, R70, R73, R79)."""
    if failure.unknown:
        return _look_again(failure, standing, table, random)
    if failure.is_open or failure.paid_for:
        return End()
    billed = failure.billing.state == "final" and failure.billing.amount_micros > 0
    if not billed and (failure.unsent or failure.scope == "queue"):
        return _not_now(failure, standing, table, random)
    if not billed and (wait := _wait(failure, standing, table, random)) is not None:
        return Retry(wait)
    if billed and failure.code is ErrorCode.CORRUPT_OUTPUT and standing.remakes < REMAKES:
        return Requote(standing.offer, remake=True)
    return _fallback(failure, standing, table, billed=billed)


def _not_now(failure: Failure, standing: Standing, table: RouteTable, random: Random) -> Next:
    """Behind an open breaker somebody else may be asked at once; what passes by itself is waited for."""
    elsewhere = failure.unsent and failure.scope not in {"replica", "inputs"}
    other = _fallback(failure, standing, table, billed=False) if elsewhere else End()
    if not isinstance(other, End) or failure.code in NEVER_BY_WAITING:
        return other
    return Hold(_spread(min(failure.retry_after or QUEUE_WAIT_S, LONGEST_HOLD_S), standing, table, random))


def _spread(seconds: float, standing: Standing, table: RouteTable, random: Random) -> float:
    """Never sooner than asked; the spread keeps the refused from coming back together."""
    return seconds * random.uniform(1, 1 + table.policy(standing.offer.provider).jitter)


def _look_again(failure: Failure, standing: Standing, table: RouteTable, random: Random) -> Next:
    if standing.resendable:
        wait = _wait(failure, standing, table, random)
        return End() if wait is None else LookAgain(wait)
    policy = table.policy(standing.offer.provider)
    left = table.unknown_grace_s - standing.unknown_s
    return LookAgain(min(left, max(policy.waits, default=left))) if left > 0 else End()


def _wait(failure: Failure, standing: Standing, table: RouteTable, random: Random) -> float | None:
    """Seconds until the next call to the same provider, or None where there is none."""
    policy = table.policy(standing.offer.provider)
    retries = standing.calls - 1
    again = failure.code in RETRYABLE or failure.unknown
    allowed = policy.max_retries if again else _single_retries(failure)
    if retries >= min(allowed, policy.max_retries):
        return None
    wait = policy.waits[retries] * random.uniform(1 - policy.jitter, 1 + policy.jitter)
    if failure.retry_after is not None:
        wait = _spread(failure.retry_after, standing, table, random)
    return wait if wait < standing.time_left else None


def _single_retries(failure: Failure) -> int:
    return 1 if failure.code in {ErrorCode.PROVIDER_ERROR, ErrorCode.CORRUPT_OUTPUT} else 0


def _fallback(failure: Failure, standing: Standing, table: RouteTable, *, billed: bool) -> Next:
    if not _may_fall_back(failure, standing, table):
        return End()
    gone = standing.tried | {standing.offer.provider}
    offer = next((offer for offer in standing.offers if offer.provider not in gone), None)
    if offer is None:
        return End()
    if billed or offer.amount_micros > standing.held_micros:
        return Requote(offer, remake=False)
    return Switch(offer)


def _may_fall_back(failure: Failure, standing: Standing, table: RouteTable) -> bool:
    if failure.code is ErrorCode.RATE_LIMIT:
        return failure.retry_after is not None and failure.retry_after >= standing.time_left
    return failure.scope == "model" or failure.code in table.fallback_on
