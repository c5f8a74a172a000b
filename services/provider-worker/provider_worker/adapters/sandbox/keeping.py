"""Files that the sandbox keeps for a while: what it was given to build on, and what took long to make."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_UNDER_WAY = "."
_LONGEST_WRITE_S = 600.0
"""What is still half written after so long, a killed process has left."""


class Keep:
    """Files by name in `folder`, of at most `most` bytes together: what was not used for longest goes first.

    Several processes may share it. A file is there whole or not at all, also after a power cut. Raises `OSError`.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most

    def put(self, name: str, data: bytes) -> None:
        """Keep it under this name, which always stands for the same bytes."""
        if self._used(name):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_UNDER_WAY, delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._folder / name)
            except BaseException:
                os.unlink(file.name)
                raise
        self._sweep(name)

    def get(self, name: str) -> bytes | None:
        """None where it is not kept, or no longer."""
        try:
            data = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        self._used(name)
        return data

    def _used(self, name: str) -> bool:
        try:
            os.utime(self._folder / name)
        except FileNotFoundError:
            return False
        return True

    def _sweep(self, newest: str) -> None:
        found, now = list[tuple[float, int, str]](), time.time()
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                about = entry.stat()
                if entry.name.startswith(_UNDER_WAY) and now - about.st_mtime < _LONGEST_WRITE_S:
                    continue
                found.append((about.st_mtime, about.st_size, entry.name))
        left = sum(size for _, size, _ in found)
        for _, size, name in sorted(found):
            if left <= self._most:
                return
            if name != newest:
                with suppress(FileNotFoundError):
                    os.unlink(self._folder / name)
                left -= size
