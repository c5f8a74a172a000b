"""Which provider makes an item, and what follows a failure."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_worker.routing import (
    REMAKES,
    RETRYABLE,
    End,
    Failure,
    Hold,
    LookAgain,
    Offer,
    Requote,
    Retry,
    Standing,
    Switch,
    Use,
    after,
    offers_for,
)
from schemas.parts import Billing, ErrorCode, Route
from tests.worker_builders import item, table

FIRST, CHEAP, DEAR = Offer("first", "m", 40), Offer("cheap", "m", 30), Offer("dear", "m", 90)
TABLE = table(*(Use(name, "m") for name in ("first", "cheap", "dear")), waits=(1.0, 2.0, 4.0))
PAID = Billing(state="final", amount_micros=40)


def price(use: Use, wanted: object) -> int | str:
    return {"first": 40, "cheap": 30, "dear": 90}[use.provider]


def standing(**changes: Any) -> Standing:
    given: dict[str, Any] = {
        "offer": FIRST,
        "offers": (FIRST, CHEAP, DEAR),
        "held_micros": 40,
        "calls": 1,
        "remakes": 0,
        "tried": frozenset(),
        "time_left": 60.0,
    }
    return Standing(**{**given, **changes})


def next_of(failure: Failure, **changes: Any) -> object:
    return after(failure, standing(**changes), TABLE, Random(1))


def test_the_route_is_taken_in_its_order() -> None:
    offers, _ = offers_for(TABLE, item(), Route(), price)
    assert [offer.provider for offer in offers] == ["first", "cheap", "dear"]


def test_a_wish_orders_the_route_and_unknown_providers_are_passed_over() -> None:
    offers, _ = offers_for(TABLE, item(), Route(providers=["dear", "nobody", "first"]), price)
    assert [offer.provider for offer in offers] == ["dear", "first"]


def test_without_fallback_there_is_one_offer() -> None:
    offers, _ = offers_for(TABLE, item(), Route(fallback=False), price)
    assert list(offers) == [FIRST]


def test_who_cannot_make_the_item_is_passed_over() -> None:
    offers, _ = offers_for(TABLE, item(), Route(), lambda use, _: "too large" if use.provider == "first" else 50)
    assert [offer.provider for offer in offers] == ["cheap", "dear"]


def test_an_item_that_nobody_can_make_says_why() -> None:
    offers, why = offers_for(TABLE, item(), Route(providers=["first"]), lambda *_: "5000 pixels are too many")
    assert not offers
    assert why == "first: 5000 pixels are too many"


def test_a_wish_for_strangers_says_so() -> None:
    assert (
        offers_for(TABLE, item(), Route(providers=["x"]), price)[1] == "image is made by first, cheap, dear, not by x"
    )


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_a_passing_refusal_is_retried_after_one_two_and_four_seconds(code: ErrorCode) -> None:
    waits = [after(Failure(code, "busy"), standing(calls=calls), TABLE, Random(3)) for calls in (1, 2, 3)]
    for wait, base in zip(waits, (1.0, 2.0, 4.0), strict=True):
        assert isinstance(wait, Retry)
        assert 0.8 * base <= wait.wait <= 1.2 * base


def test_a_provider_that_says_when_is_not_called_sooner() -> None:
    found = next_of(Failure(ErrorCode.RATE_LIMIT, "busy", retry_after=9.0))
    assert isinstance(found, Retry)
    assert 9.0 <= found.wait <= 9.0 * 1.2


def test_a_retry_that_the_deadline_does_not_allow_is_not_waited_for() -> None:
    assert not isinstance(next_of(Failure(ErrorCode.TEMPORARY, "busy"), time_left=0.5), Retry)
    assert next_of(Failure(ErrorCode.RATE_LIMIT, "busy", retry_after=100.0)) == Switch(CHEAP)


@pytest.mark.parametrize("code", [ErrorCode.CONTENT_POLICY, ErrorCode.INVALID_REQUEST])
def test_what_no_retry_can_mend_ends_the_item(code: ErrorCode) -> None:
    assert next_of(Failure(code, "no")) == End()


def test_a_bad_key_is_not_tried_again_at_the_same_provider() -> None:
    assert next_of(Failure(ErrorCode.AUTH_ERROR, "no")) == Switch(CHEAP)


def test_too_many_jobs_of_ours_are_waited_for_and_cost_no_call() -> None:
    full = Failure(ErrorCode.RATE_LIMIT, "the queue is full", scope="queue")
    found = next_of(full, calls=4)
    assert isinstance(found, Hold)
    assert found.wait >= 5.0
    again = next_of(replace(full, retry_after=30.0))
    assert isinstance(again, Hold)
    assert again.wait >= 30.0


def test_behind_an_open_breaker_the_next_provider_is_asked() -> None:
    for code in (ErrorCode.AUTH_ERROR, ErrorCode.TEMPORARY):
        assert next_of(Failure(code, "closed", retry_after=9.0, unsent=True)) == Switch(CHEAP)


def test_behind_the_last_open_breaker_what_passes_is_waited_for_and_what_does_not_is_told() -> None:
    alone: dict[str, Any] = {"offers": (FIRST,)}
    found = next_of(Failure(ErrorCode.TEMPORARY, "closed", retry_after=9.0, unsent=True), **alone)
    assert isinstance(found, Hold)
    assert found.wait >= 9.0
    assert next_of(Failure(ErrorCode.AUTH_ERROR, "closed", retry_after=9.0, unsent=True), **alone) == End()


def test_a_provider_behind_an_open_breaker_is_the_last_choice() -> None:
    offers, _ = offers_for(TABLE, item(), Route(), price, lambda provider: provider == "first")
    assert [offer.provider for offer in offers] == ["cheap", "dear", "first"]
    [only], _ = offers_for(TABLE, item(), Route(fallback=False), price, lambda provider: provider == "first")
    assert only == FIRST


def test_a_model_that_is_gone_goes_to_the_next_provider() -> None:
    assert next_of(Failure(ErrorCode.INVALID_REQUEST, "404", scope="model")) == Switch(CHEAP)


def test_a_dearer_fallback_is_quoted_first() -> None:
    found = next_of(Failure(ErrorCode.AUTH_ERROR, "no"), offer=CHEAP, held_micros=40, tried=frozenset({"first"}))
    assert found == Requote(DEAR, remake=False)


def test_after_a_paid_failure_even_a_cheaper_provider_is_quoted_first() -> None:
    assert next_of(Failure(ErrorCode.PROVIDER_ERROR, "broken", billing=PAID)) == Requote(CHEAP, remake=False)


def test_a_paid_corrupt_result_is_made_again_once_and_quoted_first() -> None:
    corrupt = Failure(ErrorCode.CORRUPT_OUTPUT, "half a picture", billing=PAID)
    assert next_of(corrupt) == Requote(FIRST, remake=True)
    assert next_of(corrupt, remakes=REMAKES) == Requote(CHEAP, remake=False)


def test_a_result_that_is_paid_for_and_there_is_never_paid_for_again() -> None:
    assert next_of(Failure(ErrorCode.TEMPORARY, "download broke", billing=PAID, paid_for=True)) == End()


def test_with_no_provider_left_the_item_ends() -> None:
    assert next_of(Failure(ErrorCode.AUTH_ERROR, "no"), tried=frozenset({"cheap", "dear"})) == End()


def test_an_unknown_outcome_is_looked_up_before_anything_is_sent() -> None:
    lost = Failure(ErrorCode.TIMEOUT, "no answer", unknown=True)
    assert isinstance(next_of(lost, resendable=True), LookAgain)
    assert isinstance(next_of(lost, resendable=False, unknown_s=0.1), LookAgain)


def test_an_unknown_outcome_that_stays_so_ends_the_item_and_never_falls_back() -> None:
    lost = Failure(ErrorCode.TEMPORARY, "no answer", unknown=True)
    assert next_of(lost, resendable=True, calls=4) == End()
    assert next_of(lost, resendable=False, unknown_s=TABLE.unknown_grace_s) == End()


failures = st.builds(
    Failure,
    code=st.sampled_from(ErrorCode),
    message=st.just("x"),
    billing=st.sampled_from([Billing(state="none"), PAID, Billing(state="pending")]),
    unknown=st.booleans(),
    retry_after=st.none() | st.floats(0, 100),
    scope=st.sampled_from(["request", "account", "model"]),
    paid_for=st.booleans(),
).filter(lambda failure: not failure.unknown or failure.billing.state == "none")


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans(), st.randoms(use_true_random=False))
def test_calls_to_a_provider_never_exceed_one_and_its_retries(
    data: st.DataObject, resendable: bool, random: Random
) -> None:
    """R61; and whatever providers say, an item ends, and each attempt that may be billed was quoted before."""
    now = standing(resendable=resendable)
    calls, quotes, charged = 1, 1, 0
    for _ in range(40):
        failure = data.draw(failures)
        found = after(failure, now, TABLE, random)
        charged += failure.billing.state == "final"
        match found:
            case End():
                return
            case Retry(wait) | LookAgain(wait):
                assert not (isinstance(found, Retry) and failure.unknown)
                calls += resendable or isinstance(found, Retry)
                unknown_s = now.unknown_s + wait if isinstance(found, LookAgain) else 0.0
                now = replace(now, calls=calls, time_left=max(now.time_left - wait, 0), unknown_s=unknown_s)
            case Switch(offer):
                assert failure.billing.state == "none"
                assert offer.amount_micros <= now.held_micros
                calls = 1
                now = replace(now, offer=offer, calls=1, tried=now.tried | {now.offer.provider})
            case Requote(offer, remake):
                quotes += 1
                calls = 1
                now = replace(
                    now,
                    offer=offer,
                    calls=1,
                    held_micros=offer.amount_micros,
                    tried=now.tried if remake else now.tried | {now.offer.provider},
                    remakes=now.remakes + remake,
                    time_left=60.0,
                )
        assert calls <= 1 + TABLE.policy(now.offer.provider).max_retries
        assert charged <= quotes
    raise AssertionError("the item never ends")
