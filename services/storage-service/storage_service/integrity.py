"""Kept bytes are checked against their hash before they are sent: a visitor gets them or an error, never others."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from objects import ObjectDamaged, ObjectStore
from objects.errors import translated

_REMEMBERED = 16_384

_Look = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Bytes:
    """Where the bytes are and what they have to be."""

    key: str
    sha256: str
    size: int


class Inspector:
    """Remembers which files were found whole, by what the file system says of them; a file that changed is read again.

    A store without files of this machine checks its objects by itself: of those only the size is looked at.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._whole: OrderedDict[str, _Look] = OrderedDict()

    async def inspect(self, bytes_: Bytes) -> None:
        """Raises `ObjectMissing` or `ObjectDamaged` unless the bytes are there and are those of the hash."""
        path = self._store.local_path(bytes_.key)
        if path is None:
            _check_size(bytes_, (await self._store.stat(bytes_.key)).size)
            return
        known = self._whole.get(bytes_.key)
        look = await asyncio.to_thread(_inspected, path, bytes_, known)
        self._whole[bytes_.key] = look
        self._whole.move_to_end(bytes_.key)
        if len(self._whole) > _REMEMBERED:
            self._whole.popitem(last=False)

    def chunks(self, bytes_: Bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, read in threads as they are asked for."""
        return self._store.open(bytes_.key, start, end)


def _inspected(path: Path, bytes_: Bytes, known: _Look | None) -> _Look:
    try:
        found = path.stat(follow_symlinks=False)
        look = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if look != known:
            _check_size(bytes_, found.st_size)
            _check_hash(bytes_, path)
    except OSError as error:
        raise translated(error, bytes_.key) from error
    return look


def _check_hash(bytes_: Bytes, path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != bytes_.sha256:
        raise ObjectDamaged(bytes_.key, "the bytes have another hash than their name")


def _check_size(bytes_: Bytes, size: int) -> None:
    if size != bytes_.size:
        raise ObjectDamaged(bytes_.key, f"{size} bytes are kept, {bytes_.size} were stored")
