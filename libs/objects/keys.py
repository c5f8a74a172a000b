"""Names of objects: relative paths made by us from ids and hashes, never from what a user typed."""

from __future__ import annotations

import re

from objects.errors import InvalidKey

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_KEY = re.compile(rf"{_NAME}(?:/{_NAME}){{1,7}}")
_ATTEMPT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

STAGING = "staging"
BLOBS = "blobs"


def key_parts(key: str) -> tuple[str, ...]:
    """The folder and file names of a key.

    A name starts with a letter or a digit, so that `..`, absolute paths, empty names and our own hidden temporary
    files can not be spelt. Raises `InvalidKey`.
    """
    if not _KEY.fullmatch(key):
        raise InvalidKey(repr(key)[:200], "a key is two to eight plain names joined by slashes")
    return tuple(key.split("/"))


def staged_key(tenant: str, attempt: str, number: int) -> str:
    """Where the worker puts output `number` of an attempt, whose id is a UUIDv7, until it is promoted.

    The seventh and eighth digit of a UUIDv7 change every 65 seconds and come back after 4.7 hours: what is put at the
    same time shares a folder, and a tenant has 256 of them for good, so that none has to be made or removed on the way.
    """
    if not _ATTEMPT.fullmatch(attempt):
        raise InvalidKey(repr(attempt)[:200], "an attempt is named by a lower-case UUID")
    return _checked(f"{STAGING}/{tenant}/{attempt[6:8]}/{attempt}.{number}")


def made_key(staged: str, sha256: str) -> str:
    """Where something that was made of a staged object is put, e.g. its fitted picture.

    Named by its bytes: who makes other bytes of the same object, at the same time or after a crash, changes nothing
    that somebody else has handed over.
    """
    if not _SHA256.fullmatch(sha256):
        raise InvalidKey(repr(sha256)[:200], "a SHA-256 is 64 lower-case hex digits")
    return _checked(f"{staged}.{sha256[:16]}")


def blob_key(tenant: str, sha256: str) -> str:
    """Where bytes live for good: once per tenant and hash, never across tenants (R120, R121)."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidKey(repr(sha256)[:200], "a SHA-256 is 64 lower-case hex digits")
    return _checked(f"{BLOBS}/{tenant}/{sha256[:2]}/{sha256}")


def _checked(key: str) -> str:
    key_parts(key)
    return key
