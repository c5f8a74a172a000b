"""Names of objects: relative paths made by us from ids and hashes, never from what a user typed."""

from __future__ import annotations

import re

from objects.errors import InvalidKey

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_NAMES = 8

STAGING = "staging"
BLOBS = "blobs"


def key_parts(key: str) -> tuple[str, ...]:
    """The folder and file names of a key.

    A name starts with a letter or a digit, so that `..`, absolute paths, empty names and our own hidden temporary
    files can not be spelt. Raises `InvalidKey`.
    """
    parts = tuple(key.split("/"))
    if not 2 <= len(parts) <= _MOST_NAMES or not all(_NAME.fullmatch(part) for part in parts):
        raise InvalidKey(repr(key)[:200], "a key is two to eight plain names joined by slashes")
    return parts


def staged_key(tenant: str, attempt: str, number: int) -> str:
    """Where the worker puts output `number` of an attempt until it is promoted."""
    return _checked(f"{STAGING}/{tenant}/{attempt}/{number}")


def blob_key(tenant: str, sha256: str) -> str:
    """Where bytes live for good: once per tenant and hash, never across tenants (R120, R121)."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidKey(repr(sha256)[:200], "a SHA-256 is 64 lower-case hex digits")
    return _checked(f"{BLOBS}/{tenant}/{sha256[:2]}/{sha256}")


def _checked(key: str) -> str:
    key_parts(key)
    return key
