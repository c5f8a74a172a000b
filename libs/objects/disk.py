"""The file system calls of the folder store: no symbolic link is followed, nothing is visible before it is whole."""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY_CHUNK = 1 << 20
_SYNC_TOGETHER = 8
_MOST_KEPT = 10_000

TEMPORARY_SUFFIX = ".tmp"


def _load_syncfs() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return getattr(libc, "syncfs", None)


_syncfs = _load_syncfs()


def sync_all(descriptors: Sequence[int]) -> None:
    """Flush files or folders of one file system to the disk.

    Many are flushed by one `syncfs`: on ext4 a put in a group of 64 files of 2 kB then costs 89 instead of 390 µs, and
    less than a third also while another process dirties 30 MB/s. Few are not, so that a lone put waits for nobody else.
    """
    if len(descriptors) < _SYNC_TOGETHER or _syncfs is None:
        for descriptor in descriptors:
            os.fsync(descriptor)
    elif _syncfs(descriptors[0]) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@dataclass(slots=True)
class Folders:
    """Open folders below a root, each opened once and without following links; closed together.

    `kept` are the folders whose own names are known to be on the disk; it may be shared and outlives this object.
    """

    root: Path
    kept: set[tuple[str, ...]] = field(default_factory=set)
    opened: dict[tuple[str, ...], int] = field(default_factory=dict)
    changed: set[tuple[str, ...]] = field(default_factory=set)

    def open(self, parts: tuple[str, ...], *, create: bool = False) -> int:
        """A descriptor of the folder; raises `FileNotFoundError` unless `create`."""
        known = self.opened.get(parts)
        if known is not None:
            return known
        if not parts:
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif create:
            descriptor = self._open_or_make(parts)
        else:
            descriptor = os.open(parts[-1], _FOLDER, dir_fd=self.open(parts[:-1]))
        self.opened[parts] = descriptor
        return descriptor

    def _open_or_make(self, parts: tuple[str, ...]) -> int:
        parent = self.open(parts[:-1], create=True)
        if parts not in self.kept:
            self.changed.add(parts[:-1])
        try:
            return os.open(parts[-1], _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            self.changed.add(parts[:-1])
        with suppress(FileExistsError):
            os.mkdir(parts[-1], 0o750, dir_fd=parent)
        return os.open(parts[-1], _FOLDER, dir_fd=parent)

    def sync(self) -> None:
        """Make the names in all changed folders durable; a folder somebody else made a moment ago counts as changed."""
        if self.changed:
            sync_all([self.opened[parts] for parts in self.changed])
        if len(self.kept) > _MOST_KEPT:
            self.kept.clear()
        self.kept.update(parts for parts in self.opened if parts[:-1] in self.changed)

    def close(self) -> None:
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened.clear()


@contextmanager
def folders(root: Path, kept: set[tuple[str, ...]] | None = None) -> Iterator[Folders]:
    """`Folders` that are closed at the end."""
    opened = Folders(root, set() if kept is None else kept)
    try:
        yield opened
    finally:
        opened.close()


def create_temporary(folder: int) -> tuple[int, str]:
    """A new file beside its later name, hidden from every key: descriptor and name."""
    temporary = temporary_name()
    return os.open(temporary, _CREATE, 0o640, dir_fd=folder), temporary


def temporary_name() -> str:
    """A name that no key can spell and nobody else has."""
    return f".{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"


def write_all(descriptor: int, chunks: Iterable[bytes | memoryview]) -> None:
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def open_file(folder: int, name: str) -> int:
    """A descriptor of a regular file; raises `FileNotFoundError` for anything that is not one."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(2, "not a regular file")
    return descriptor


def look(folder: int, name: str) -> os.stat_result | None:
    """What the file system says of a regular file, None where there is none."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def file_sha256(folder: int, name: str) -> str:
    """Hex digest of a file's bytes. `hashlib.file_digest` clears 256 KiB for each, which small files would pay for."""
    descriptor = open_file(folder, name)
    digest = hashlib.sha256()
    try:
        most = min(os.fstat(descriptor).st_size + 1, _COPY_CHUNK)
        while chunk := os.read(descriptor, most):
            digest.update(chunk)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def copy_file(source: int, source_name: str, target: int, target_name: str) -> None:
    """Copy through a temporary file beside the target, synced before it takes its name."""
    descriptor, temporary = create_temporary(target)
    try:
        with (
            os.fdopen(descriptor, "wb", buffering=0) as written,
            os.fdopen(open_file(source, source_name), "rb") as read,
        ):
            while chunk := read.read(_COPY_CHUNK):
                write_all(written.fileno(), [chunk])
            os.fsync(written.fileno())
        os.rename(temporary, target_name, src_dir_fd=target, dst_dir_fd=target)
    except OSError:
        remove_quietly(target, temporary)
        raise


def remove_quietly(folder: int, name: str) -> None:
    """Remove what is only in the way; what stays behind is swept later."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
