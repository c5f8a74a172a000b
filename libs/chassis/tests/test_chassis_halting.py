"""When a consumer stops setting records aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.halting import HaltLimits, HaltRule, LimitReachedError


def test_twenty_failures_in_a_row_pass_and_the_next_one_halts() -> None:
    rule = HaltRule(HaltLimits())
    rule.check([True] * 20)
    rule.count([True] * 20)
    with pytest.raises(LimitReachedError, match="21 records in a row"):
        rule.check([True])


def test_a_success_between_failures_begins_the_count_anew() -> None:
    rule = HaltRule(HaltLimits())
    rule.count([True] * 20)
    rule.count([False])
    rule.check([True] * 20)


def test_more_than_one_in_a_hundred_of_the_last_thousand_halts() -> None:
    rule = HaltRule(HaltLimits())
    rule.count([False] * 1000)
    scattered = [True, False] * 10
    rule.check(scattered)
    with pytest.raises(LimitReachedError, match="11 of the last 1000"):
        rule.check([*scattered, True])


def test_a_few_failures_among_few_records_do_not_halt_yet() -> None:
    HaltRule(HaltLimits()).check([True, False, False] * 15)


def test_checking_counts_nothing() -> None:
    rule = HaltRule(HaltLimits())
    for _ in range(10):
        rule.check([True] * 20)


def test_an_operator_can_switch_the_rule_off() -> None:
    HaltRule(HaltLimits(enabled=False)).check([True] * 5000)


@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=60))
def test_however_records_are_cut_into_batches_the_rule_judges_the_same(batches: list[list[bool]]) -> None:
    limits = HaltLimits(run=5, ratio=0.1, window=50)
    one_by_one = HaltRule(limits)
    in_batches = HaltRule(limits)
    for batch in batches:
        assert halts(in_batches, batch) == any_halts(one_by_one, batch)
        in_batches.count(batch)


def halts(rule: HaltRule, outcomes: list[bool]) -> bool:
    try:
        rule.check(outcomes)
    except LimitReachedError:
        return True
    return False


def any_halts(rule: HaltRule, outcomes: list[bool]) -> bool:
    found = False
    for outcome in outcomes:
        found = halts(rule, [outcome]) or found
        rule.count([outcome])
    return found
