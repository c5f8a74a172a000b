"""What a provider says is kept where it can be, and a cost that cannot be is not billed."""

from __future__ import annotations

import pytest

from provider_worker.adapters.interface import Artifact, Cost, ErrorCode, JobRef, ProviderError, Status
from provider_worker.engine.failures import billing_of

QUOTED = 40_000
MOST = 2**63 - 1


def made(amount: int) -> Status:
    return Status("succeeded", "x", cost=Cost(amount, "USD", "reported"))


@pytest.mark.parametrize("amount", [0, 1, MOST - 5])
def test_a_cost_is_billed_as_the_provider_says_it(amount: int) -> None:
    billing = billing_of(made(amount), "USD", QUOTED, 5)
    assert (billing.amount_micros, billing.basis) == (amount + 5, "reported")


@pytest.mark.parametrize("amount", [-1, MOST - 4, MOST + 1, 10**40])
def test_a_cost_that_no_ledger_can_hold_is_billed_as_it_was_quoted(amount: int) -> None:
    billing = billing_of(made(amount), "USD", QUOTED, 5)
    assert (billing.state, billing.amount_micros, billing.basis) == ("final", QUOTED, "estimated")


@pytest.mark.parametrize("odd", ["a\x00b", "a\nb", "a\x9fb", "a\ud800b"])
def test_names_and_words_are_kept_without_what_a_database_refuses(odd: str) -> None:
    phase = {"mode": odd, "of": [odd, {odd: 1}]}
    status = Status("failed", odd, raw_state=odd, next_phase=phase)
    error = ProviderError(ErrorCode.TEMPORARY, odd, provider_code=odd, provider_request_id=odd)
    assert JobRef("p", odd, phase) == JobRef("p", "a b", {"mode": "a b", "of": ["a b", {"a b": 1}]})
    assert (status.external_id, status.raw_state, status.next_phase) == (
        "a b",
        "a b",
        {"mode": "a b", "of": ["a b", {"a b": 1}]},
    )
    assert (error.message, error.provider_code, error.provider_request_id) == ("a b", "a b", "a b")
    assert Artifact("image/png", url=odd).url == "a b"


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e12])
def test_a_wait_of_no_length_is_none(seconds: float) -> None:
    assert ProviderError(ErrorCode.RATE_LIMIT, "later", retry_after=seconds).retry_after is None
    assert Status("running", "x", poll_after_s=seconds).poll_after_s is None
