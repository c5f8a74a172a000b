"""Signed addresses of private bytes: an HMAC over what one address allows, with an expiry and a key id.

The service that shows an address signs it, the one that serves the bytes verifies it; both derive the key from the
secret they share.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

DEFAULT_TTL_S = 3600
"""How long a signed address is good for, unless somebody asks otherwise (R111)."""
MAX_TTL_S = 7 * 24 * 3600
"""The longest that may be asked for."""

_CLOCKS_APART_S = 60
_PURPOSE = "backlot asset address 1"
_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_METHOD = re.compile(r"[A-Z]{3,8}")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key for addresses alone; `id` names it in every signature, so that keys can be changed without an outage."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one address allows: to use `method` on these bytes of this asset. HEAD goes with GET."""

    tenant_id: UUID
    asset_id: UUID
    sha256: str
    method: str = "GET"

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError("a SHA-256 is 64 lower-case hex digits")
        if not _METHOD.fullmatch(self.method):
            raise ValueError("a method is three to eight capital letters")


@dataclass(frozen=True, slots=True)
class Signed:
    """A grant's expiry, in whole seconds since 1970 UTC, and its signature."""

    expires: int
    signature: str

    @property
    def query(self) -> str:
        """What is put behind the `?` of the address."""
        return f"exp={self.expires}&sig={self.signature}"


class Verdict(Enum):
    """What a signature is worth. `EXPIRED` was ours once, `FORGED` never was."""

    VALID = "valid"
    EXPIRED = "expired"
    FORGED = "forged"


def derive_key(secret: str) -> SigningKey:
    """The key for addresses that belongs to the secret all services share."""
    derived = hmac.digest(secret.encode(), _PURPOSE.encode(), "sha256")
    return SigningKey(hashlib.sha256(derived).hexdigest()[:8], derived)


def sign(key: SigningKey, grant: Grant, *, now: float, ttl_s: int = DEFAULT_TTL_S) -> Signed:
    """Sign `grant` until `ttl_s` seconds after `now` (seconds since 1970 UTC, by the database's clock).

    Raises `ValueError` for a life of less than a second or more than seven days.
    """
    if not 1 <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"a signed address lives for 1 to {MAX_TTL_S} seconds")
    expires = int(now) + ttl_s
    return Signed(expires, _signature(key, grant, expires))


def verify(keys: Sequence[SigningKey], grant: Grant, *, expires: str, signature: str, now: float) -> Verdict:
    """Judge `exp` and `sig` as they came with a request for `grant`; any of `keys` may have signed.

    An expiry further away than seven days is forged, whatever the signature: nobody here signs such a thing.
    """
    if not _EXPIRY.fullmatch(expires) or not signature.isascii():
        return Verdict.FORGED
    until = int(expires)
    matches = [hmac.compare_digest(_signature(key, grant, until), signature) for key in keys]
    if not any(matches) or until > now + MAX_TTL_S + _CLOCKS_APART_S:
        return Verdict.FORGED
    return Verdict.VALID if now < until else Verdict.EXPIRED


def _signature(key: SigningKey, grant: Grant, expires: int) -> str:
    fields = (_PURPOSE, grant.method, grant.tenant_id, grant.asset_id, grant.sha256, expires, key.id)
    digest = hmac.digest(key.secret, "\n".join(map(str, fields)).encode(), "sha256")
    return f"{key.id}.{urlsafe_b64encode(digest).rstrip(b'=').decode()}"
