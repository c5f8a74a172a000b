"""Objects too long to hold in memory: one writer, one reader, used by one thread at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from objects.disk import Folders, create_temporary, folders, open_file, remove_quietly
from objects.errors import ObjectDamaged
from objects.keys import key_parts
from objects.patience import errors_of, retried
from objects.store import Stored


class Upload:
    """An object that is written piece by piece: write..., finish, and abandon in every case at the end."""

    def __init__(self, root: Path, key: str) -> None:
        self.size = 0
        self._key = key
        *path, self._name = key_parts(key)
        self._path = tuple(path)
        self._opened = Folders(root)
        self._digest = hashlib.sha256()
        self._temporary: tuple[int, str] | None = None

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append; a transient failure repeats the write in its place, up to 3 times."""
        with errors_of(self._key):
            descriptor, _ = self._temporary or self._begin()
            for chunk in chunks:
                self._append(descriptor, chunk)

    def _begin(self) -> tuple[int, str]:
        self._temporary = create_temporary(self._opened.open(self._path, create=True))
        return self._temporary

    def _append(self, descriptor: int, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            written = retried(partial(os.pwrite, descriptor, rest, self.size))
            self._digest.update(rest[:written])
            self.size += written
            rest = rest[written:]

    def finish(self) -> Stored:
        """Flush and name the object. A failed flush is not repeated: the kernel may have dropped the pages."""
        with errors_of(self._key):
            descriptor, temporary = self._temporary or self._begin()
            folder = self._opened.open(self._path)
            self._opened.changed.add(self._path)
            os.fsync(descriptor)
            os.rename(temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            self._opened.sync()
        return Stored(self.size, self._digest.hexdigest())

    def abandon(self) -> None:
        """Let go of everything; removes the temporary file unless it has its name."""
        if self._temporary is not None:
            descriptor, temporary = self._temporary
            os.close(descriptor)
            remove_quietly(self._opened.open(self._path), temporary)
            self._temporary = None
        self._opened.close()


class Reader:
    """A range of an object; `left` bytes are still wanted once the first were read."""

    def __init__(self, root: Path, key: str, start: int, end: int | None) -> None:
        self.left = 0
        self._root = root
        self._key = key
        self._at = start
        self._end = end
        self._descriptor: int | None = None

    def read(self, most: int) -> bytes:
        """At most `most` further bytes; none where the range holds none."""
        with errors_of(self._key):
            descriptor = self._begin() if self._descriptor is None else self._descriptor
            if not self.left:
                return b""
            chunk = os.pread(descriptor, min(most, self.left), self._at)
        if not chunk:
            raise ObjectDamaged(self._key, "the file ends before its own size")
        self._at += len(chunk)
        self.left -= len(chunk)
        return chunk

    def _begin(self) -> int:
        *path, name = key_parts(self._key)
        with folders(self._root) as opened:
            self._descriptor = open_file(opened.open(tuple(path)), name)
        size = os.fstat(self._descriptor).st_size
        self.left = max(0, (size if self._end is None else min(size, self._end)) - self._at)
        return self._descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
