"""API keys: `bk_` and 256 random bits. Only a prefix and a SHA-256 are kept, so that a stolen table opens nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

SCOPES = (
    "jobs:write",
    "jobs:read",
    "assets:read",
    "assets:write",
    "prompts:write",
    "billing:read",
    "billing:write",
    "tenant:read",
    "admin",
)
MARK = "bk_"
_RANDOM_BYTES = 32
_PREFIX = 11
_SHORTEST, _LONGEST = 24, 200


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by his key: one tenant, one user, some scopes. Nothing else decides whose data is meant."""

    tenant_id: UUID
    user_id: UUID
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key has `scope`; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def reader(self) -> UUID | None:
        """Whose jobs may be read: one's own, or None for all of the tenant."""
        return None if self.may("tenant:read") else self.user_id


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept."""

    sha256: bytes
    principal: Principal


def new_key() -> str:
    """A key nobody has seen yet."""
    return MARK + secrets.token_urlsafe(_RANDOM_BYTES)


def looks_like_key(text: str) -> bool:
    """Whether `text` could be a key at all."""
    return text.startswith(MARK) and _SHORTEST <= len(text) <= _LONGEST and text.isascii()


def prefix_of(key: str) -> str:
    """What a key is found by; says nothing about the rest."""
    return key[:_PREFIX]


def digest_of(key: str) -> bytes:
    """What a key is kept as. It has 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(key.encode()).digest()


def matching(digest: bytes, candidates: Iterable[StoredKey]) -> Principal | None:
    """The principal whose key has `digest`; every candidate is compared, each in constant time."""
    found = None
    for candidate in candidates:
        if hmac.compare_digest(candidate.sha256, digest):
            found = candidate.principal
    return found


@dataclass(slots=True)
class KnownKeys:
    """Keys verified a moment ago, and digests that were no key: a revoked key works for `lifetime` seconds at most."""

    lifetime: float
    limit: int = 10_000
    clock: Callable[[], float] = time.monotonic
    _entries: dict[bytes, tuple[Principal | None, float]] = field(default_factory=dict)

    def get(self, digest: bytes) -> tuple[Principal | None] | None:
        """(principal or None for no key), or None when it must be looked up."""
        entry = self._entries.get(digest)
        if entry is None or self.clock() >= entry[1]:
            return None
        return (entry[0],)

    def put(self, digest: bytes, principal: Principal | None) -> None:
        """Remembers what was found."""
        if len(self._entries) >= self.limit:
            self._forget()
        self._entries[digest] = (principal, self.clock() + self.lifetime)

    def _forget(self) -> None:
        now = self.clock()
        alive = {digest: entry for digest, entry in self._entries.items() if entry[1] > now}
        # Somebody who tries thousands of keys a second must not make this table grow.
        self._entries = alive if len(alive) < self.limit else {}


def grant(granter: Principal, user_id: UUID | None, scopes: Sequence[str]) -> Principal:
    """Whose a new key is. Nobody gives away more than he has, and only `admin` gives keys to others.

    Raises PermissionError saying what he lacks, ValueError for a scope there is not.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise ValueError(f"there is no scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
    missing = sorted(scope for scope in scopes if not granter.may(scope))
    if missing:
        raise PermissionError(f"this key lacks {', '.join(missing)} and cannot give it away")
    if user_id not in {None, granter.user_id} and not granter.may("admin"):
        raise PermissionError("only a key with the scope admin makes keys for other users")
    return Principal(granter.tenant_id, user_id or granter.user_id, frozenset(scopes))
