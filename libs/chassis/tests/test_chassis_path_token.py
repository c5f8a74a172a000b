"""Tokens in addresses: one for each address, made by whoever shares the secret."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chassis.path_token import is_path_token, path_token

SECRET = "a secret of the tests, long enough"
PARTS = st.lists(st.text(), min_size=1, max_size=4)


@given(PARTS)
def test_a_token_fits_its_own_address(parts: list[str]) -> None:
    token = path_token(SECRET, *parts)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert is_path_token(SecretStr(SECRET), token, *parts)


@given(PARTS, PARTS)
def test_a_token_fits_no_other_address(one: list[str], other: list[str]) -> None:
    assert is_path_token(SECRET, path_token(SECRET, *one), *other) is (one == other)


def test_parts_cannot_be_moved_into_each_other() -> None:
    assert path_token(SECRET, "fal", "a1") != path_token(SECRET, "fala1") != path_token(SECRET, 'fal", "a1')


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 100_000, "ü", "\udcff", "\0"])
def test_anything_else_is_no_token(token: str) -> None:
    assert not is_path_token(SECRET, token, "fal")
    assert not is_path_token(SECRET, path_token(SECRET, "fal") + token, "fal") or token == ""


def test_another_secret_makes_another_token() -> None:
    assert not is_path_token("another secret, long enough", path_token(SECRET, "fal"), "fal")
