"""Checks of staged pictures in child processes, many in one call."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.errors import Transient
from chassis.group_commit import GroupCommit
from media.checker import Checker, ImageCheck
from media.errors import ChildrenFailed, CorruptOutput
from media.images import ImageFacts
from objects import ObjectStore
from provider_worker.engine.ports import Refused
from schemas.parts import PreparedItem

LANES = 2
MOST_IN_A_CALL = 32
FORMATS = {"jpg": "jpeg"}


class CheckedPictures:
    """`Pictures` over a store and a checker: what is asked for at the same time goes to a child together."""

    def __init__(self, objects: ObjectStore, checker: Checker) -> None:
        self._objects = objects
        self._checker = checker
        self._lanes = [
            GroupCommit[ImageCheck, ImageFacts](self._check_many, limit=MOST_IN_A_CALL) for _ in range(LANES)
        ]
        self._next = 0

    async def check(self, key: str, item: PreparedItem) -> str:
        """See `Pictures.check`; raises `Transient` where no child can work."""
        source = self._objects.local_path(key)
        wanted = ImageCheck(
            source=source if source is not None else await self._bytes(key),
            width=item.width,
            height=item.height,
            format=FORMATS.get(item.format, item.format),
        )
        self._next = (self._next + 1) % LANES
        try:
            found = await self._lanes[self._next].submit(wanted)
        except CorruptOutput as error:
            raise Refused(error.message) from error
        except ChildrenFailed as error:
            raise Transient(str(error)) from error
        return found.mime

    async def _bytes(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self._objects.open(key)])

    async def _check_many(self, checks: Sequence[ImageCheck]) -> Sequence[ImageFacts | Exception]:
        return await self._checker.check_many(checks)
