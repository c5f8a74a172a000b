"""Staged results are decoded whole in child processes, and become what was asked for or are refused (R72)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from chassis.telemetry import get_logger
from media import MAX_BYTES, Checker, ChildrenFailed, CorruptOutput, FinishedMedia, Signer, Statement, Wanted, probe
from media.credentials import why_unsignable
from objects import ObjectStore, StorageError, made_key
from provider_worker.engine.fetching import MOST_PIECES
from provider_worker.engine.judging import fit_of, flags_of, see_asked, wanted_of
from provider_worker.engine.ports import Refused
from provider_worker.provenance import OFF, StatementOf, marking_of
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

    def __init__(self, objects: ObjectStore, checker: Checker, signer: Signer | None = None) -> None:
        self._objects = objects
        self._signer = signer
        self._checker = checker
        self._lanes = [
            GroupCommit[tuple[Source, Wanted], FinishedMedia](checker.finish_pictures, limit=MOST_IN_A_CALL)
            for _ in range(LANES)
        ]
        self._next = 0

    async def finish(self, pieces: Sequence[Piece], item: PreparedItem, statement: StatementOf) -> Finished:
        """See `Finisher.finish`; raises `Transient` where no child can work or the store is away.

        What is made is put beside what came, under a name of its own bytes: whoever comes second, after a crash or at
        the same time, begins again at what came and harms nothing.
        """
        primary, *others = pieces
        found = await self._found(primary, wanted_of(item))
        see_asked(found.facts, item)
        outputs, flags = [await self._made(primary, found, statement)], [*flags_of(found, item)]
        for piece in others:
            try:
                outputs.append(await self._further(piece, item, statement))
            except Refused as error:
                log.warning("extra_output_dropped", role=piece.role, key=piece.key, reason=str(error))
                flags.append(f"{piece.role}_dropped")
        if found.thumbnail is not None and all(made.piece.role != THUMBNAIL for made in outputs):
            piece = replace(primary, number=THUMBNAIL_NUMBER, role=THUMBNAIL)
            outputs.append(await self._thumbnail(piece, found.thumbnail, statement))
        return Finished(tuple(outputs), fit_of(found), tuple(dict.fromkeys(flags)))

    async def _further(self, piece: Piece, item: PreparedItem, statement: StatementOf) -> Made:
        """A variant becomes what the primary does; a thumbnail becomes ours; the rest is a picture as it came."""
        if piece.role in _SAME_AS_PRIMARY:
            found = await self._found(piece, replace(wanted_of(item), thumbnail=False))
            see_asked(found.facts, item)
            return await self._made(piece, found, statement)
        if piece.role == THUMBNAIL:
            return await self._small(piece, statement)
        try:
            facts = await self._checker.probe(await self._source(piece))
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error
        if (shape := facts.mime.removeprefix("image/")) not in _PICTURES:
            raise Refused(f"{facts.mime}, but a picture was expected")
        found = await self._found(piece, Wanted(shape))
        return await self._made(piece, found, statement)

    async def _small(self, piece: Piece, statement: StatementOf) -> Made:
        """A provider's own thumbnail, as a WebP that is no larger than ours."""
        found = await self._found(piece, Wanted("webp", thumbnail=True))
        if found.thumbnail is None:
            return await self._made(piece, found, statement)
        return await self._thumbnail(piece, found.thumbnail, statement)

    async def _thumbnail(self, piece: Piece, data: bytes, statement: StatementOf) -> Made:
        seen, content = probe(data), hashlib.sha256(data).hexdigest()
        kept, why_not = await self._sealed(
            piece, data, seen.mime, statement(output=piece.number, content_sha256=content)
        )
        return Made(kept, seen.mime, content, seen.width, seen.height, marking=marking_of(seen.mime, why_not))

    async def _found(self, piece: Piece, wanted: Wanted) -> FinishedMedia:
        source = await self._source(piece)
        try:
            # A large tile takes seconds, which a group of pictures would wait for.
            if wanted.format not in _PICTURES or wanted.tileable:
                return await self._checker.finish(source, wanted)
            self._next = (self._next + 1) % LANES
            return await self._lanes[self._next].submit((source, wanted))
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error

    async def _made(self, piece: Piece, found: FinishedMedia, statement: StatementOf) -> Made:
        facts = found.facts
        said = statement(output=piece.number, content_sha256=found.sha256)
        kept, why_not = await self._sealed(piece, found.data, facts.mime, said)
        marking = marking_of(facts.mime, why_not)
        return Made(kept, facts.mime, found.sha256, facts.width, facts.height, facts.duration_s, marking)

    async def _sealed(
        self, piece: Piece, data: bytes | None, mime: str, statement: Statement
    ) -> tuple[Piece, str | None]:
        """The bytes as they are handed over, and why they are not signed; without `data` they are those that came."""
        why_not: str | None = OFF
        if self._signer is not None:
            source = data if data is not None else await self._whole(piece)
            try:
                signed = await self._signer.sign(source, mime, statement)
            except ChildrenFailed as error:
                raise Transient(str(error)) from error
            why_not = signed.why_not
            if why_not is None:
                data = signed.data
            elif why_unsignable(mime) is None:
                log.warning("not_signed", key=piece.key, reason=why_not)
        return piece if data is None else await self._put(piece, data), why_not

    async def _whole(self, piece: Piece) -> bytes:
        return b"".join([chunk async for chunk in self._objects.open(piece.key)])

    async def _source(self, piece: Piece) -> Source:
        path = self._objects.local_path(piece.key)
        return path if path is not None else await self._whole(piece)

    async def _put(self, piece: Piece, data: bytes) -> Piece:
        key = made_key(piece.key, hashlib.sha256(data).hexdigest())
        try:
            stored = await self._objects.put(key, data, max_bytes=MAX_BYTES)
        except StorageError as error:
            raise Transient(f"the finished result could not be staged: {error.reason}") from error
        return replace(piece, key=key, sha256=stored.sha256, size=stored.size)
