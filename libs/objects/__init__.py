"""Object stores behind one Protocol. They know keys and bytes; no service, no database."""

from __future__ import annotations

from objects.errors import (
    InvalidKey,
    ObjectDamaged,
    ObjectMissing,
    ObjectTooLarge,
    StorageError,
    StorageForbidden,
    StorageFull,
    StorageUnavailable,
)
from objects.folder import FolderStore
from objects.grouping import Grouped
from objects.keys import blob_key, made_key, staged_key
from objects.store import ObjectStat, ObjectStore, Promoted, Promotion, Stored, Swept

__all__ = [
    "FolderStore",
    "Grouped",
    "InvalidKey",
    "ObjectDamaged",
    "ObjectMissing",
    "ObjectStat",
    "ObjectStore",
    "ObjectTooLarge",
    "Promoted",
    "Promotion",
    "StorageError",
    "StorageForbidden",
    "StorageFull",
    "StorageUnavailable",
    "Stored",
    "Swept",
    "blob_key",
    "made_key",
    "staged_key",
]
