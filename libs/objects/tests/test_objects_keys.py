from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objects import InvalidKey, blob_key, staged_key
from objects.keys import key_parts

DIGEST = "0123456789abcdef" * 4


def test_keys_follow_the_two_layouts() -> None:
    assert staged_key("t", "a", 3) == "staging/t/a/3"
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


@settings(max_examples=100)
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_made_key_never_leaves_its_tenant(tenant: str, attempt: str) -> None:
    try:
        key = staged_key(tenant, attempt, 0)
    except InvalidKey:
        return
    assert key.split("/") == ["staging", tenant, attempt, "0"]
