"""Checks of staged pictures in child processes, many in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from media import MAX_BYTES, Checker, ChildrenFailed, CorruptOutput, FittedImage, ImageFit
from objects import ObjectStore, StorageError
from provider_worker.engine.ports import Refused
from provider_worker.tasks import Finished, Piece
from schemas.parts import Fit, PreparedItem

LANES = 2
MOST_IN_A_CALL = 32
MOST_CROP = 0.10
MOST_SCALE = 1.25
FORMATS = {"jpg": "jpeg"}


class CheckedPictures:
    """`Pictures` over a store and a checker: what is asked for at the same time goes to a child together."""

    def __init__(self, objects: ObjectStore, checker: Checker) -> None:
        self._objects = objects
        self._checker = checker
        self._lanes = [GroupCommit[ImageFit, FittedImage](self._fit_many, limit=MOST_IN_A_CALL) for _ in range(LANES)]
        self._next = 0

    async def finish(self, piece: Piece, item: PreparedItem) -> Finished:
        """See `Pictures.finish`; raises `Transient` where no child can work or the store is away.

        The same picture becomes the same bytes each time, so whoever comes second writes what is there already.
        """
        source = self._objects.local_path(piece.key)
        wanted = ImageFit(
            source=source if source is not None else await self._bytes(piece.key),
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
        return Finished(
            replace(piece, sha256=found.sha256, size=found.facts.size),
            found.facts.mime,
            Fit(
                native_width=found.native_width,
                native_height=found.native_height,
                method=found.method,
                scale=found.scale,
                crop_share=found.crop_share,
            ),
            tuple(_flags(found)),
        )

    async def _keep(self, key: str, data: bytes) -> None:
        try:
            await self._objects.put(key, data, max_bytes=MAX_BYTES)
        except StorageError as error:
            raise Transient(f"the finished picture could not be staged: {error.reason}") from error

    async def _bytes(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self._objects.open(key)])

    async def _fit_many(self, fits: Sequence[ImageFit]) -> Sequence[FittedImage | Exception]:
        return await self._checker.fit_many(fits)


def _flags(found: FittedImage) -> Iterator[str]:
    """What a user should know of a picture that was made to fit (providers.md, section 13)."""
    if found.crop_share > MOST_CROP:
        yield "cropped"
    if found.scale > MOST_SCALE:
        yield "upscaled"
