"""Objects as files: what runs in the folder store's threads."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from objects.disk import (
    TEMPORARY_SUFFIX,
    Folders,
    copy_file,
    create_temporary,
    file_sha256,
    folders,
    look,
    remove_quietly,
    sync_all,
    temporary_name,
    write_all,
)
from objects.errors import InvalidKey, ObjectDamaged, ObjectMissing, StorageError, StorageUnavailable, translated
from objects.keys import key_parts
from objects.patience import WAITS_S, errors_of, retried
from objects.store import Promoted, Promotion, Stored, Swept

T = TypeVar("T")

_TOGETHER = 128
# No hard links here: another device, a file system without them, too many, or a staged file of another user.
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class Put:
    """An object whose bytes are all in memory."""

    key: str
    chunks: tuple[bytes, ...]


@dataclass(slots=True)
class _Written:
    """A temporary file that waits for its name."""

    folder: int
    temporary: str
    descriptor: int
    name: str
    stored: Stored


class ObjectFiles:
    """Blocking work on the objects below `root`, in one process or several."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: set[tuple[str, ...]] = set()

    def put(self, puts: Sequence[Put]) -> list[Stored | Exception]:
        """Write a group of objects with one flush; a transient failure writes that object anew, up to 3 times."""
        outcomes: list[Stored | Exception] = self._put_once(puts)
        for wait in WAITS_S:
            again = [number for number, outcome in enumerate(outcomes) if _is_transient(outcome)]
            if not again:
                break
            time.sleep(wait)
            for number, outcome in zip(again, self._put_once([puts[number] for number in again]), strict=True):
                outcomes[number] = outcome
        return outcomes

    def _put_once(self, puts: Sequence[Put]) -> list[Stored | Exception]:
        outcomes: list[Stored | Exception] = []
        written: dict[int, _Written] = {}
        with folders(self.root, self._kept) as opened:
            for number, put in enumerate(puts):
                try:
                    written[number] = _write(opened, put)
                    outcomes.append(written[number].stored)
                except OSError as error:
                    outcomes.append(_put_error(error, put.key))
            for number, failure in _name_all(written, opened).items():
                outcomes[number] = translated(failure, puts[number].key)
        return outcomes

    def size(self, key: str) -> int:
        """Bytes of the object; raises `ObjectMissing`."""
        *path, name = key_parts(key)
        with errors_of(key), folders(self.root) as opened:
            found = look(opened.open(tuple(path)), name)
        if found is None:
            raise ObjectMissing(key, "no such object")
        return found.st_size

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectMissing:
            return False
        return True

    def delete(self, keys: Sequence[str]) -> int:
        """Remove objects; returns how many there were."""
        deleted = 0
        for some in _slices(keys, _TOGETHER):
            with folders(self.root) as opened:
                for key in some:
                    with errors_of(key):
                        deleted += _delete(opened, key_parts(key))
                with errors_of(some[0]):
                    opened.sync()
        return deleted

    def delete_with_made(self, keys: Sequence[str]) -> int:
        """Remove objects, and those whose key goes on after one of these with a dot; returns how many there were."""
        names: dict[tuple[str, ...], set[str]] = {}
        for key in keys:
            *path, name = key_parts(key)
            names.setdefault(tuple(path), set()).add(name)
        found = [key for path, of_folder in names.items() for key in self._made_of(path, of_folder)]
        return self.delete(found)

    def _made_of(self, path: tuple[str, ...], names: set[str]) -> list[str]:
        key = "/".join(path)
        with errors_of(key), folders(self.root) as opened:
            try:
                there = os.listdir(opened.open(path))
            except FileNotFoundError:
                return []
        return [f"{key}/{name}" for name in there if not names.isdisjoint(_beginnings(name))]

    def promote(self, promotions: Sequence[Promotion], *, verify: bool) -> list[Promoted | StorageError]:
        """Link staged files to their hashes, with few flushes."""
        outcomes: list[Promoted | StorageError] = []
        for some in _slices(promotions, _TOGETHER):
            outcomes += self._promote_some(some, verify)
        return outcomes

    def _promote_some(self, promotions: Sequence[Promotion], verify: bool) -> list[Promoted | StorageError]:
        with folders(self.root) as sources, folders(self.root, self._kept) as targets:
            outcomes = [self._promote_one(sources, targets, promotion, verify) for promotion in promotions]
            try:
                retried(targets.sync)
            except OSError as error:
                return [translated(error, promotion.blob_key) for promotion in promotions]
        return outcomes

    def _promote_one(
        self, sources: Folders, targets: Folders, promotion: Promotion, verify: bool
    ) -> Promoted | StorageError:
        try:
            return retried(lambda: _link(sources, targets, promotion, verify))
        except OSError as error:
            return translated(error, promotion.staged_key)
        except StorageError as error:
            return error

    def sweep(self, older_than_s: float) -> Swept:
        """Remove temporary files older than `older_than_s` seconds."""
        limit = time.time() - older_than_s
        files = size = 0
        for _, _, names, folder in os.fwalk(self.root, follow_symlinks=False):
            for name in names:
                if not (name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)):
                    continue
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if found.st_mtime < limit:
                        os.unlink(name, dir_fd=folder)
                        files, size = files + 1, size + found.st_size
        return Swept(files, size)


def _write(opened: Folders, put: Put) -> _Written:
    *path, name = key_parts(put.key)
    folder = opened.open(tuple(path), create=True)
    opened.changed.add(tuple(path))
    descriptor, temporary = create_temporary(folder)
    try:
        write_all(descriptor, put.chunks)
    except OSError:
        os.close(descriptor)
        remove_quietly(folder, temporary)
        raise
    digest = hashlib.sha256()
    for chunk in put.chunks:
        digest.update(chunk)
    return _Written(folder, temporary, descriptor, name, Stored(sum(map(len, put.chunks)), digest.hexdigest()))


def _name_all(written: Mapping[int, _Written], opened: Folders) -> dict[int, OSError]:
    """Flush the files, give them their names, flush the folders: in this order a name never shows a torn file.

    Answers which failed, and why.
    """
    failed: dict[int, OSError] = {}
    try:
        sync_all([file.descriptor for file in written.values()])
        for number, file in written.items():
            try:
                os.rename(file.temporary, file.name, src_dir_fd=file.folder, dst_dir_fd=file.folder)
            except OSError as error:
                failed[number] = error
        opened.sync()
    except OSError as error:
        failed = dict.fromkeys(written, error)
    for number, file in written.items():
        os.close(file.descriptor)
        if number in failed:
            remove_quietly(file.folder, file.temporary)
    return failed


def _put_error(error: OSError, key: str) -> StorageError:
    if isinstance(error, FileNotFoundError):  # somebody removed the folder between its opening and the new file
        return StorageUnavailable(key, "the folder vanished")
    return translated(error, key)


def _is_transient(outcome: Stored | Exception) -> bool:
    return isinstance(outcome, StorageError) and outcome.transient


def _link(sources: Folders, targets: Folders, promotion: Promotion, verify: bool) -> Promoted:
    *target_path, blob = _blob_parts(promotion)
    *source_path, staged = key_parts(promotion.staged_key)
    target = targets.open(tuple(target_path), create=True)
    targets.changed.add(tuple(target_path))
    found = _look_below(sources, tuple(source_path), staged)
    if found is None:
        return _promoted_before(target, blob, promotion)
    source = sources.open(tuple(source_path))
    if verify:
        _check(source, staged, promotion)
    if _take(source, staged, target, blob):
        return Promoted(found.st_size, created=True)
    if _is_whole(target, blob, found, promotion.sha256 if verify else None):
        return Promoted(found.st_size, created=False)
    if not verify:
        _check(source, staged, promotion)
    _take_over(source, staged, target, blob)
    return Promoted(found.st_size, created=False, mended=True)


def _blob_parts(promotion: Promotion) -> tuple[str, ...]:
    parts = key_parts(promotion.blob_key)
    if parts[-1] != promotion.sha256:
        raise InvalidKey(promotion.blob_key, "the name of a blob is its SHA-256")
    return parts


def _look_below(opened: Folders, path: tuple[str, ...], name: str) -> os.stat_result | None:
    try:
        return look(opened.open(path), name)
    except FileNotFoundError:
        return None


def _promoted_before(target: int, blob: str, promotion: Promotion) -> Promoted:
    kept = look(target, blob)
    if kept is None:
        raise ObjectMissing(promotion.staged_key, "neither staged nor promoted")
    return Promoted(kept.st_size, created=False)


def _check(source: int, staged: str, promotion: Promotion) -> None:
    if file_sha256(source, staged) != promotion.sha256:
        raise ObjectDamaged(promotion.staged_key, "the staged bytes do not have the hash that was reported")


def _is_whole(target: int, blob: str, staged: os.stat_result, sha256: str | None) -> bool:
    """Whether what is kept is as long as what is staged, and, where a hash is given, has that hash."""
    kept = look(target, blob)
    if kept is None or kept.st_size != staged.st_size:
        return False
    return sha256 is None or os.path.samestat(kept, staged) or file_sha256(target, blob) == sha256


def _take(source: int, staged: str, target: int, blob: str) -> bool:
    """Give the staged bytes the blob's name, unless somebody else was faster."""
    try:
        os.link(staged, blob, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if look(target, blob) is not None:
            return False
        copy_file(source, staged, target, blob)
    return True


def _take_over(source: int, staged: str, target: int, blob: str) -> None:
    """Put the staged bytes in the place of damaged ones, so that a reader sees the one or the other."""
    temporary = temporary_name()
    try:
        if _take(source, staged, target, temporary):
            os.rename(temporary, blob, src_dir_fd=target, dst_dir_fd=target)
    finally:  # a rename onto another link to the same file does nothing
        remove_quietly(target, temporary)


def _delete(opened: Folders, parts: tuple[str, ...]) -> bool:
    *path, name = parts
    try:
        os.unlink(name, dir_fd=opened.open(tuple(path)))
        opened.changed.add(tuple(path))
    except FileNotFoundError:
        return False
    return True


def _beginnings(name: str) -> Iterator[str]:
    """`a.0.f` → `a.0.f`, `a.0`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
