"""What can go wrong with stored bytes, as a small tree; every `OSError` is translated into it where it enters."""

from __future__ import annotations

import errno
from typing import ClassVar


class StorageError(Exception):
    """The store could not do what was asked.

    `transient` says whether the same call may succeed later; the store has then already tried again by itself (R74).
    """

    code: ClassVar[str] = "STORAGE_ERROR"
    transient: ClassVar[bool] = False

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class StorageFull(StorageError):
    """No space or no quota left. Never retried (R75)."""


class StorageForbidden(StorageError):
    """Permission denied or a read-only file system. Never retried (R75)."""


class StorageUnavailable(StorageError):
    """The disk failed to read or write, also after three retries (R74)."""

    transient = True


class ObjectMissing(StorageError):
    """There is no object under this key."""


class ObjectTooLarge(StorageError):
    """More bytes came than the caller allowed; nothing was kept."""


class ObjectDamaged(StorageError):
    """The bytes are not those that the key or the caller's hash promises."""


class InvalidKey(StorageError):
    """Not a relative path of plain names, or a path that leads through a symbolic link."""


_KINDS: dict[int, type[StorageError]] = {
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
    errno.EACCES: StorageForbidden,
    errno.EPERM: StorageForbidden,
    errno.EROFS: StorageForbidden,
    errno.ENOENT: ObjectMissing,
    errno.ELOOP: InvalidKey,
    errno.ENOTDIR: InvalidKey,
    errno.EISDIR: InvalidKey,
    errno.ENAMETOOLONG: InvalidKey,
}


def translated(error: OSError, key: str) -> StorageError:
    """The storage error for an `OSError`; what is not known to be permanent counts as transient."""
    kind = _KINDS.get(error.errno or 0, StorageUnavailable)
    return kind(key, error.strerror or type(error).__name__)
