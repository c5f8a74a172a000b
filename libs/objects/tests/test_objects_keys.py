from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objects import InvalidKey, blob_key, made_key, staged_key
from objects.keys import key_parts

DIGEST = "0123456789abcdef" * 4
ATTEMPT = "019aa0f0-1234-7000-8000-000000000001"


def test_keys_follow_the_two_layouts() -> None:
    assert staged_key("t", ATTEMPT, 3) == f"staging/t/f0/{ATTEMPT}.3"
    assert made_key(staged_key("t", ATTEMPT, 3), DIGEST) == f"staging/t/f0/{ATTEMPT}.3.0123456789abcdef"
    assert blob_key("t", DIGEST) == f"blobs/t/01/{DIGEST}"


@pytest.mark.parametrize("digest", ["", "abc", DIGEST.upper(), DIGEST + "0", "../" + DIGEST[3:]])
def test_a_blob_is_named_by_a_whole_lower_case_sha256(digest: str) -> None:
    with pytest.raises(InvalidKey):
        blob_key("t", digest)


@settings(max_examples=300)
@given(st.text(max_size=40) | st.from_regex(r"\A[./a\x00-]{0,12}\Z"))
def test_an_accepted_key_stays_below_its_root(key: str) -> None:
    try:
        parts = key_parts(key)
    except InvalidKey:
        return
    root = Path("/objects")
    assert root.joinpath(*parts).resolve().is_relative_to(root)
    assert "/".join(parts) == key
    assert not any(part.startswith(".") for part in parts)


@pytest.mark.parametrize(
    "attempt", ["", "attempt", ATTEMPT.upper(), ATTEMPT + "0", "../" + ATTEMPT, ATTEMPT[:-1] + "/"]
)
def test_staged_bytes_are_named_by_the_whole_id_of_their_attempt(attempt: str) -> None:
    with pytest.raises(InvalidKey):
        staged_key("t", attempt, 0)


def test_what_is_staged_at_one_time_shares_a_folder_and_a_tenant_has_few_of_them() -> None:
    def folder(milliseconds: int) -> str:
        digits = f"{milliseconds:012x}"
        return staged_key("t", f"{digits[:8]}-{digits[8:]}-7000-8000-000000000001", 0).rpartition("/")[0]

    now = 0x19AA0F00000
    assert {folder(now + second * 1000) for second in range(65)} == {folder(now)}
    assert len({folder(now + minute * 60_000) for minute in range(7 * 24 * 60)}) == 256


@settings(max_examples=100)
@given(st.text(max_size=20), st.text(max_size=20) | st.uuids().map(str))
def test_a_made_key_never_leaves_its_tenant(tenant: str, attempt: str) -> None:
    try:
        key = staged_key(tenant, attempt, 0)
    except InvalidKey:
        return
    assert key.split("/") == ["staging", tenant, attempt[6:8], f"{attempt}.0"]
