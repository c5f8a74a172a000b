"""One interface before every place that keeps bytes (R127)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from objects.errors import StorageError


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put wrote: bytes and their SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ObjectStat:
    size: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """Staged bytes that shall live on as the blob of their hash."""

    staged_key: str
    blob_key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """`created` is False where the tenant had these bytes already, `mended` is True where they were damaged."""

    size: int
    created: bool
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Swept:
    files: int
    size: int


class ObjectStore(Protocol):
    """Keys are made by `objects.keys`. Every method raises `StorageError` and its kinds.

    What has been put or promoted survives a power cut once the call has returned, and is never seen half written.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes] | bytes, *, max_bytes: int) -> Stored:
        """Write or replace an object. Past `max_bytes` it stops reading, keeps nothing and raises `ObjectTooLarge`."""
        ...

    def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes from `start` up to, not including, `end`; `ObjectMissing` comes with the first chunk."""
        ...

    async def stat(self, key: str) -> ObjectStat: ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> bool:
        """True if there was something to delete."""
        ...

    async def delete_many(self, keys: Sequence[str]) -> int:
        """How many there were to delete."""
        ...

    async def delete_with_made(self, keys: Sequence[str]) -> int:
        """Delete staged objects with everything that was made of them (`made_key`); how many there were."""
        ...

    async def promote(self, staged_key: str, blob_key: str, sha256: str, *, verify: bool = False) -> Promoted:
        """Let staged bytes live on under their hash; the staged object stays until somebody deletes it.

        May be repeated and may run in many processes at once: one copy is kept, and who comes second gets it (R27).
        With `verify` the staged bytes are read and must have the hash, otherwise `ObjectDamaged`. A kept copy of
        another size, or with `verify` of another hash, is damaged: staged bytes that have the hash take its place.
        """
        ...

    async def promote_many(
        self, promotions: Sequence[Promotion], *, verify: bool = False
    ) -> list[Promoted | StorageError]:
        """`promote` for a batch, in one piece of work: one outcome for each promotion, in order."""
        ...

    async def sweep(self, *, older_than_s: float = 3600) -> Swept:
        """Remove temporary files that a crash left behind."""
        ...

    def local_path(self, key: str) -> Path | None:
        """A path of this machine to read the object from, if the store has one."""
        ...

    async def close(self) -> None: ...
