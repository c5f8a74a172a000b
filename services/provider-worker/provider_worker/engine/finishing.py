"""Staged results are decoded whole in child processes, and become what was asked for or are refused (R72)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from chassis.telemetry import get_logger
from media import MAX_PICTURE_BYTES, Checker, ChildrenFailed, CorruptOutput, Facts, FittedImage, ImageFit
from objects import ObjectStore, StorageError
from provider_worker.engine.judging import fit_of, flags_of, flags_of_picture, see_format
from provider_worker.engine.ports import Refused
from provider_worker.tasks import Finished, Made, Piece
from schemas.parts import Fit, Kind, PreparedItem

log = get_logger()

LANES = 2
MOST_IN_A_CALL = 32
FORMATS = {"jpg": "jpeg"}
_PICTURES = {Kind.IMAGE, Kind.TEXTURE}
_SAME_AS_PRIMARY = {"primary", "variant"}


class CheckedFinisher:
    """`Finisher` over a store and a checker.

    Pictures that are asked for at the same time go to a child together; everything else goes alone.
    """

    def __init__(self, objects: ObjectStore, checker: Checker) -> None:
        self._objects = objects
        self._checker = checker
        self._lanes = [GroupCommit[ImageFit, FittedImage](self._fit_many, limit=MOST_IN_A_CALL) for _ in range(LANES)]
        self._next = 0

    async def finish(self, pieces: Sequence[Piece], item: PreparedItem) -> Finished:
        """See `Finisher.finish`; raises `Transient` where no child can work or the store is away.

        The same bytes become the same bytes each time, so whoever comes second writes what is there already.
        """
        primary, *others = pieces
        finished = await self._primary(primary, item)
        outputs, flags = [*finished.outputs], [*finished.flags]
        for piece in others:
            try:
                outputs.append(await self._further(piece, item))
            except Refused as error:
                log.warning("extra_output_dropped", role=piece.role, key=piece.key, reason=str(error))
                flags.append(f"{piece.role}_dropped")
        return Finished(tuple(outputs), finished.fit, tuple(dict.fromkeys(flags)))

    async def _primary(self, piece: Piece, item: PreparedItem) -> Finished:
        if item.kind in _PICTURES:
            made, found = await self._fitted(piece, item)
            fit = Fit(
                native_width=found.native_width,
                native_height=found.native_height,
                method=found.method,
                scale=found.scale,
                crop_share=found.crop_share,
            )
            return Finished((made,), fit, tuple(flags_of_picture(found)))
        facts = await self._checked(piece)
        see_format(facts, item)
        return Finished((_made(piece, facts),), fit_of(facts), tuple(flags_of(facts, item)))

    async def _further(self, piece: Piece, item: PreparedItem) -> Made:
        """A variant is of the primary's format, and of its size where that is a picture; the rest is a picture."""
        if piece.role in _SAME_AS_PRIMARY and item.kind in _PICTURES:
            return (await self._fitted(piece, item))[0]
        facts = await self._checked(piece)
        if piece.role in _SAME_AS_PRIMARY:
            see_format(facts, item)
        elif not facts.mime.startswith("image/"):
            raise Refused(f"{facts.mime}, but a picture was expected")
        return _made(piece, facts)

    async def _fitted(self, piece: Piece, item: PreparedItem) -> tuple[Made, FittedImage]:
        wanted = ImageFit(
            source=await self._source(piece),
            width=item.width,
            height=item.height,
            format=FORMATS.get(item.format, item.format),
            fit=item.fit,
        )
        self._next = (self._next + 1) % LANES
        try:
            found = await self._lanes[self._next].submit(wanted)
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error
        if found.data is not None:
            await self._keep(piece.key, found.data)
        return _made(replace(piece, sha256=found.sha256, size=found.facts.size), found.facts), found

    async def _checked(self, piece: Piece) -> Facts:
        try:
            return await self._checker.check(await self._source(piece))
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error

    async def _source(self, piece: Piece) -> bytes | Path:
        path = self._objects.local_path(piece.key)
        return path if path is not None else b"".join([chunk async for chunk in self._objects.open(piece.key)])

    async def _keep(self, key: str, data: bytes) -> None:
        try:
            await self._objects.put(key, data, max_bytes=MAX_PICTURE_BYTES)
        except StorageError as error:
            raise Transient(f"the finished picture could not be staged: {error.reason}") from error

    async def _fit_many(self, fits: Sequence[ImageFit]) -> Sequence[FittedImage | Exception]:
        return await self._checker.fit_many(fits)


def _made(piece: Piece, facts: Facts) -> Made:
    return Made(piece, facts.mime, facts.width, facts.height, facts.duration_s)
