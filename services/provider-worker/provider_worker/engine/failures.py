"""What an adapter raised or said, in the worker's words. Pure."""

from __future__ import annotations

from dataclasses import replace

from provider_worker.adapters.interface import Outcome, ProviderError, Status
from provider_worker.routing import NO_BILL, Failure
from schemas.parts import Billing, ErrorCode

PENDING = Billing(state="pending")
MOST_MICROS = 2**63 - 1
"""The largest amount a ledger can hold: a cost that is larger, or less than nothing, is not believed."""


def failure_of(error: ProviderError, billing: Billing = NO_BILL) -> Failure:
    """What an adapter raised."""
    return Failure(
        code=ErrorCode(error.code.value),
        message=error.message,
        billing=billing,
        unknown=error.outcome is Outcome.UNKNOWN,
        retry_after=error.retry_after,
        scope=error.scope,
    )


def refusal(status: Status, billing: Billing) -> Failure:
    """What a job that ended without a success came to."""
    if status.error is not None:
        return replace(failure_of(status.error, billing), unknown=False)
    return Failure(ErrorCode.PROVIDER_ERROR, f"the provider's job ended as {status.state}", billing=billing)


def spent(micros: int) -> Billing:
    """What was paid before there was a result."""
    return Billing(state="final", amount_micros=micros, basis="reported") if micros else NO_BILL


def billing_of(status: Status, currency: str, quoted_micros: int, spent_micros: int, *, begun: bool = False) -> Billing:
    """As the provider says it, with what earlier phases cost.

    A success that names no price costs what was quoted, and so does work that was stopped after it had begun.
    """
    cost = status.cost
    if cost is not None and cost.currency == currency and 0 <= cost.amount_micros <= MOST_MICROS - spent_micros:
        return Billing(state="final", amount_micros=cost.amount_micros + spent_micros, basis=cost.basis)
    delivered = status.state == "succeeded" and status.next_phase is None
    if not delivered and not (status.state == "cancelled" and begun):
        return spent(spent_micros)
    return Billing(state="final", amount_micros=max(quoted_micros, spent_micros), basis="estimated")
