from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objects.signing import DEFAULT_TTL_S, MAX_TTL_S, Grant, Signed, SigningKey, Verdict, derive_key, sign, verify

NOW = 1_900_000_000.0
KEY = derive_key("a secret of the house")
GRANT = Grant(UUID(int=1), UUID(int=2), "ab" * 32)

ttls = st.integers(1, MAX_TTL_S)


def judged(signed: Signed, grant: Grant = GRANT, *, now: float = NOW, keys: Sequence[SigningKey] = (KEY,)) -> Verdict:
    return verify(keys, grant, expires=str(signed.expires), signature=signed.signature, now=now)


@given(ttls)
def test_a_signature_is_good_until_its_expiry_and_not_a_moment_longer(ttl: int) -> None:
    signed = sign(KEY, GRANT, now=NOW, ttl_s=ttl)
    assert judged(signed) is Verdict.VALID
    assert judged(signed, now=signed.expires - 0.001) is Verdict.VALID
    assert judged(signed, now=signed.expires) is Verdict.EXPIRED


def test_an_hour_is_the_default() -> None:
    assert sign(KEY, GRANT, now=NOW).expires == int(NOW) + DEFAULT_TTL_S == int(NOW) + 3600


@pytest.mark.parametrize("ttl", [0, -1, MAX_TTL_S + 1])
def test_a_life_that_is_too_short_or_too_long_is_not_signed(ttl: int) -> None:
    with pytest.raises(ValueError, match="lives for"):
        sign(KEY, GRANT, now=NOW, ttl_s=ttl)


@given(ttls, st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_of_a_signature_is_forged(ttl: int, place: int, bit: int) -> None:
    signed = sign(KEY, GRANT, now=NOW, ttl_s=ttl)
    raw = bytearray(signed.signature.encode())
    raw[place % len(raw)] ^= 1 << bit
    assert judged(replace(signed, signature=raw.decode("latin-1"))) is Verdict.FORGED


@pytest.mark.parametrize(
    "other",
    [
        replace(GRANT, tenant_id=uuid4()),
        replace(GRANT, asset_id=uuid4()),
        replace(GRANT, sha256="cd" * 32),
        replace(GRANT, method="PUT"),
    ],
    ids=["tenant", "asset", "bytes", "method"],
)
def test_a_signature_is_good_for_one_thing_alone(other: Grant) -> None:
    assert judged(sign(KEY, GRANT, now=NOW), other) is Verdict.FORGED


@given(st.integers(1, MAX_TTL_S))
def test_a_later_expiry_than_was_signed_is_forged(more: int) -> None:
    signed = sign(KEY, GRANT, now=NOW, ttl_s=60)
    assert judged(replace(signed, expires=signed.expires + more)) is Verdict.FORGED


@given(st.text(max_size=20), st.text(max_size=60))
def test_whatever_is_sent_in_the_place_of_a_signature_is_forged(expires: str, signature: str) -> None:
    assert verify([KEY], GRANT, expires=expires, signature=signature, now=NOW) is Verdict.FORGED


@pytest.mark.parametrize("spelling", ["+{}", " {}", "0{}", "{}.0", "{}_0"])
def test_an_expiry_has_one_spelling(spelling: str) -> None:
    signed = sign(KEY, GRANT, now=NOW)
    sent = spelling.format(signed.expires)
    assert verify([KEY], GRANT, expires=sent, signature=signed.signature, now=NOW) is Verdict.FORGED


def test_an_expiry_nobody_would_sign_is_forged_even_with_the_right_key() -> None:
    """A clock that runs ahead where addresses are signed must not make them live for years."""
    assert judged(sign(KEY, GRANT, now=NOW + 86_400, ttl_s=MAX_TTL_S)) is Verdict.FORGED


def test_a_key_that_was_changed_is_still_accepted_while_it_is_listed() -> None:
    old, new = derive_key("the secret of last year"), derive_key("the secret of this year")
    signed = sign(old, GRANT, now=NOW)
    assert judged(signed, keys=[new, old]) is Verdict.VALID
    assert judged(signed, keys=[new]) is Verdict.FORGED


def test_a_key_does_not_show_its_secret() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert str(KEY.secret) not in repr(KEY)


def test_a_grant_is_for_a_real_hash() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Grant(uuid4(), uuid4(), "ab\n" * 10)
