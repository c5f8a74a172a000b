from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from chassis.ids import uuid7
from objects import (
    InvalidKey,
    ObjectDamaged,
    ObjectMissing,
    Promoted,
    StorageError,
    StorageForbidden,
    StorageFull,
    StorageUnavailable,
    staged_key,
)
from schemas.parts import ErrorCode, Output
from storage_service.arrivals import Arrival, Handover, Kept, OutputKey, Postponed, Refused
from storage_service.promotion import fault_of, outcome_of
from tests.storage_house import TENANT, asset_context


def arrival(*, tries: int = 0, **said: Any) -> Arrival:
    facts: dict[str, Any] = {
        "number": 0,
        "staged_key": staged_key(str(TENANT), str(uuid7()), 1),
        "sha256": "ab" * 32,
        "content_sha256": "ab" * 32,
        "size": 100,
        "mime": "image/png",
    }
    handover = Handover(output=Output(**{**facts, **said}), logical_name="hero.png", context=asset_context())
    return Arrival(OutputKey(uuid7(), 1, 1, 0), TENANT, uuid7(), handover, tries=tries)


@pytest.mark.parametrize("created", [True, False])
def test_promoted_bytes_are_kept_whether_they_were_there_before_or_not(created: bool) -> None:
    assert isinstance(outcome_of(arrival(), Promoted(100, created)), Kept)


@pytest.mark.parametrize("error", [StorageUnavailable("k", "I/O error"), ObjectMissing("k", "no such object")])
def test_what_may_pass_is_tried_after_one_two_and_four_seconds(error: StorageError) -> None:
    outcomes = [outcome_of(arrival(tries=tries), error) for tries in range(4)]
    assert [outcome.seconds for outcome in outcomes[:3] if isinstance(outcome, Postponed)] == [1, 2, 4]
    assert isinstance(outcomes[3], Refused)
    assert outcomes[3].code is ErrorCode.STORAGE_ERROR


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageFull("k", "No space left on device"), ErrorCode.STORAGE_ERROR),
        (StorageForbidden("k", "Permission denied"), ErrorCode.STORAGE_ERROR),
        (InvalidKey("k", "leads through a link"), ErrorCode.STORAGE_ERROR),
        (ObjectDamaged("k", "another hash"), ErrorCode.CORRUPT_OUTPUT),
    ],
)
def test_what_does_not_pass_is_refused_at_once(error: StorageError, code: ErrorCode) -> None:
    outcome = outcome_of(arrival(), error)
    assert isinstance(outcome, Refused)
    assert outcome.code is code


@pytest.mark.parametrize("error", [StorageForbidden("/srv/objects/x", "why"), ObjectDamaged("/srv/objects/x", "why")])
def test_a_refusal_does_not_show_where_things_are_kept(error: StorageError) -> None:
    outcome = outcome_of(arrival(), error)
    assert isinstance(outcome, Refused)
    assert "/srv" not in outcome.message


def test_bytes_of_another_size_than_was_said_are_refused_and_left_to_the_sweeper() -> None:
    outcome = outcome_of(arrival(), Promoted(99, created=True))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.promoted) == (ErrorCode.CORRUPT_OUTPUT, True)


def test_a_sound_arrival_has_no_fault() -> None:
    assert fault_of(arrival()) is None


@pytest.mark.parametrize(
    "key", ["", "x", f"staging/{UUID(int=1)}/{UUID(int=2)}/1", "staging/{tenant}", "../staging/{tenant}/1"]
)
def test_bytes_outside_their_tenants_place_are_not_touched(key: str) -> None:
    assert fault_of(arrival(staged_key=key.format(tenant=TENANT))) is not None
