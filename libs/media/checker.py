"""Checks of pictures in limited child processes (architecture rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from media.children import Children, Limits
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.images import ImageFacts, check_image

_LIMITS = Limits(memory=1 << 30, cpu_s=20)
_TIMEOUT_S = 60.0
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """A picture, as a file or as bytes, and what it must be: pixels, and png, jpeg or webp."""

    source: bytes | Path
    width: int
    height: int
    format: str


class Checker:
    """Decodes pictures of others in at most two children, each call with 1 GiB of memory and 20 s of CPU.

    The children start with the first check. Belongs to one event loop.
    """

    def __init__(self, *, limits: Limits = _LIMITS, timeout_s: float = _TIMEOUT_S, recycle_after: int = 20_000) -> None:
        self._children = Children(workers=_WORKERS, limits=limits, recycle_after=recycle_after)
        self._solitary = Children(workers=1, limits=limits)
        self._timeout_s = timeout_s

    async def check(self, check: ImageCheck) -> ImageFacts:
        """Raises `CorruptOutput`; `OSError` where the file cannot be read; `ChildrenFailed` as `check_many`."""
        [outcome] = await self.check_many([check])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def check_many(self, checks: Sequence[ImageCheck]) -> list[ImageFacts | CorruptOutput | OSError]:
        """One outcome for each picture, in order, in one call of one child.

        A picture that ends its child or hangs it is refused, its neighbours are not. Raises `ChildrenFailed` where no
        child can work at all, which says nothing about the pictures.
        """
        if not checks:
            return []
        try:
            return await self._children.run(self._timeout_s, _check_all, checks)
        except ChildrenFailed:
            return [await self._check_alone(check) for check in checks]

    async def _check_alone(self, check: ImageCheck) -> ImageFacts | CorruptOutput | OSError:
        """Twice in a child that serves nobody else at the time, so that only the picture itself can be to blame."""
        for _ in range(2):
            await self._solitary.run(self._timeout_s, _check_all, [])
            try:
                [outcome] = await self._solitary.run(self._timeout_s, _check_all, [check])
            except ChildrenFailed:
                continue
            return outcome
        return CorruptOutput(Reason.UNDECODABLE, "cannot be decoded within its limits of memory and time")

    async def close(self) -> None:
        await self._children.close()
        await self._solitary.close()


def _check_all(checks: Sequence[ImageCheck]) -> list[ImageFacts | CorruptOutput | OSError]:
    outcomes: list[ImageFacts | CorruptOutput | OSError] = []
    for check in checks:
        try:
            outcomes.append(check_image(check.source, check.width, check.height, check.format))
        except (CorruptOutput, OSError) as error:
            outcomes.append(error)
    return outcomes
