"""Staged results are decoded whole in child processes, and become what was asked for or are refused (R72)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from chassis.telemetry import get_logger
from media import MAX_BYTES, Checker, ChildrenFailed, CorruptOutput, FinishedMedia, Wanted, probe
from objects import ObjectStore, StorageError, made_key
from provider_worker.engine.fetching import MOST_PIECES
from provider_worker.engine.judging import fit_of, flags_of, see_asked, wanted_of
from provider_worker.engine.ports import Refused
from provider_worker.tasks import Finished, Made, Piece
from schemas.parts import PreparedItem

log = get_logger()

LANES = 2
MOST_IN_A_CALL = 32
THUMBNAIL = "thumbnail"
THUMBNAIL_NUMBER = MOST_PIECES
"""Of the thumbnail that is made here: no output of a provider has it."""
_PICTURES = {"png", "jpeg", "webp"}
_SAME_AS_PRIMARY = {"primary", "variant"}

Source = bytes | Path


class CheckedFinisher:
    """`Finisher` over a store and a checker.

    Pictures that are asked for at the same time go to a child together; everything else goes alone.
    """

    def __init__(self, objects: ObjectStore, checker: Checker) -> None:
        self._objects = objects
        self._checker = checker
        self._lanes = [
            GroupCommit[tuple[Source, Wanted], FinishedMedia](checker.finish_pictures, limit=MOST_IN_A_CALL)
            for _ in range(LANES)
        ]
        self._next = 0

    async def finish(self, pieces: Sequence[Piece], item: PreparedItem) -> Finished:
        """See `Finisher.finish`; raises `Transient` where no child can work or the store is away.

        What is made is put beside what came, under a name of its own bytes: whoever comes second, after a crash or at
        the same time, begins again at what came and harms nothing.
        """
        primary, *others = pieces
        found = await self._found(primary, wanted_of(item))
        see_asked(found.facts, item)
        outputs, flags = [await self._made(primary, found)], [*flags_of(found, item)]
        for piece in others:
            try:
                outputs.append(await self._further(piece, item))
            except Refused as error:
                log.warning("extra_output_dropped", role=piece.role, key=piece.key, reason=str(error))
                flags.append(f"{piece.role}_dropped")
        if found.thumbnail is not None and all(made.piece.role != THUMBNAIL for made in outputs):
            piece = replace(primary, number=THUMBNAIL_NUMBER, role=THUMBNAIL)
            outputs.append(await self._thumbnail(piece, found.thumbnail))
        return Finished(tuple(outputs), fit_of(found), tuple(dict.fromkeys(flags)))

    async def _further(self, piece: Piece, item: PreparedItem) -> Made:
        """A variant becomes what the primary does; a thumbnail becomes ours; the rest is a picture as it came."""
        if piece.role in _SAME_AS_PRIMARY:
            found = await self._found(piece, replace(wanted_of(item), thumbnail=False))
            see_asked(found.facts, item)
            return await self._made(piece, found)
        if piece.role == THUMBNAIL:
            return await self._small(piece)
        try:
            facts = await self._checker.check(await self._source(piece))
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error
        if not facts.mime.startswith("image/"):
            raise Refused(f"{facts.mime}, but a picture was expected")
        return Made(piece, facts.mime, piece.sha256, facts.width, facts.height)

    async def _small(self, piece: Piece) -> Made:
        """A provider's own thumbnail, as a WebP that is no larger than ours."""
        found = await self._found(piece, Wanted("webp", thumbnail=True))
        if found.thumbnail is None:
            return await self._made(piece, found)
        return await self._thumbnail(piece, found.thumbnail)

    async def _thumbnail(self, piece: Piece, data: bytes) -> Made:
        kept, seen = await self._put(piece, data), probe(data)
        return Made(kept, seen.mime, kept.sha256, seen.width, seen.height)

    async def _found(self, piece: Piece, wanted: Wanted) -> FinishedMedia:
        source = await self._source(piece)
        try:
            if wanted.format not in _PICTURES:
                return await self._checker.finish(source, wanted)
            self._next = (self._next + 1) % LANES
            return await self._lanes[self._next].submit((source, wanted))
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error

    async def _made(self, piece: Piece, found: FinishedMedia) -> Made:
        kept = piece if found.data is None else await self._put(piece, found.data)
        facts = found.facts
        return Made(kept, facts.mime, found.sha256, facts.width, facts.height, facts.duration_s)

    async def _source(self, piece: Piece) -> Source:
        path = self._objects.local_path(piece.key)
        return path if path is not None else b"".join([chunk async for chunk in self._objects.open(piece.key)])

    async def _put(self, piece: Piece, data: bytes) -> Piece:
        key = made_key(piece.key, hashlib.sha256(data).hexdigest())
        try:
            stored = await self._objects.put(key, data, max_bytes=MAX_BYTES)
        except StorageError as error:
            raise Transient(f"the finished result could not be staged: {error.reason}") from error
        return replace(piece, key=key, sha256=stored.sha256, size=stored.size)
