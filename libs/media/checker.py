"""Media of others, decoded in limited child processes (architecture rule 9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from media.checking import check_media
from media.children import Children, Limits, allow_cpu
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.facts import Facts
from media.finishing import is_video
from media.marking import finish_marked
from media.previews import preview
from media.probing import probe_media
from media.wanted import FinishedMedia, Wanted

E = TypeVar("E", bound=BaseException)
W = TypeVar("W")
F = TypeVar("F")

_LIMITS = Limits(memory=1 << 30, cpu_s=20)
_TIMEOUT_S = 60.0
_ENCODING_CPU_S, _ENCODING_TIMEOUT_S = 120, 300.0
"""What a video may take that is made anew: every frame is decoded, scaled and encoded."""
_WORKERS = 2


class Checker:
    """Decodes media of others in child processes, each call with 1 GiB of memory and 20 s of CPU, two minutes for a
    video that is made anew.

    Pictures that are to be finished come in groups and have two children of their own: a video takes a hundred times as
    long, and one that ends its child takes the calls beside it with it. Children start when they are first needed.
    Belongs to one event loop.
    """

    def __init__(self, *, limits: Limits = _LIMITS, timeout_s: float = _TIMEOUT_S, recycle_after: int = 20_000) -> None:
        self._pictures = Children(workers=_WORKERS, limits=limits, recycle_after=recycle_after)
        self._anything = Children(workers=_WORKERS, limits=limits, recycle_after=recycle_after)
        self._solitary = Children(workers=1, limits=limits)
        self._timeout_s = timeout_s

    async def check(self, source: bytes | Path) -> Facts:
        """What is true of media of any kind, as `check_media`.

        Raises `CorruptOutput`, also for what ends its child or hangs it; `OSError` where a file cannot be read;
        `ChildrenFailed` where no child can work at all, which says nothing about the media.
        """
        return await self._one(check_media, source)

    async def probe(self, source: bytes | Path) -> Facts:
        """What the header of media of any kind says, as `probe_media`; raises as `check`."""
        return await self._one(probe_media, source)

    async def preview(self, source: bytes | Path) -> bytes | None:
        """A small WebP that stands for media in a list, as `previews.preview`. Raises as `check`."""
        return await self._one(preview, source)

    async def finish(self, source: bytes | Path, wanted: Wanted) -> FinishedMedia:
        """Media of any kind made into what is wanted, as `finish_media`; a video may take two minutes of CPU.

        Raises as `check`.
        """
        timeout_s = max(self._timeout_s, _ENCODING_TIMEOUT_S) if is_video(wanted) else self._timeout_s
        return await self._one(_finish_one, (source, wanted), timeout_s)

    async def finish_pictures(
        self, works: Sequence[tuple[bytes | Path, Wanted]]
    ) -> list[FinishedMedia | CorruptOutput | OSError]:
        """One outcome for each picture, in order, in one call of one child, as `finish_media`.

        A picture that ends its child or hangs it is refused, its neighbours are not. Raises `ChildrenFailed` as
        `check`.
        """
        return await self._each(self._pictures, _finish_one, works)

    async def _one(self, look: Callable[[W], F], work: W, timeout_s: float | None = None) -> F:
        [outcome] = await self._each(self._anything, look, [work], timeout_s)
        if isinstance(outcome, CorruptOutput | OSError):
            raise outcome
        return outcome

    async def _each(
        self, children: Children, look: Callable[[W], F], works: Sequence[W], timeout_s: float | None = None
    ) -> list[F | CorruptOutput | OSError]:
        timeout_s = timeout_s or self._timeout_s
        if not works:
            return []
        try:
            return await children.run(timeout_s, _all, look, works)
        except ChildrenFailed:
            return [await self._alone(look, work, timeout_s) for work in works]

    async def _alone(self, look: Callable[[W], F], work: W, timeout_s: float) -> F | CorruptOutput | OSError:
        """Twice in a child that serves nobody else at the time, so that only the media itself can be to blame."""
        for _ in range(2):
            await self._solitary.run(self._timeout_s, _nothing)
            try:
                [outcome] = await self._solitary.run(timeout_s, _all, look, [work])
            except ChildrenFailed:
                continue
            return outcome
        return CorruptOutput(Reason.UNDECODABLE, "cannot be decoded within its limits of memory and time")

    async def close(self) -> None:
        for children in (self._pictures, self._anything, self._solitary):
            await children.close()


def _all(look: Callable[[W], F], works: Sequence[W]) -> list[F | CorruptOutput | OSError]:
    outcomes: list[F | CorruptOutput | OSError] = []
    for work in works:
        try:
            outcomes.append(look(work))
        except (CorruptOutput, OSError) as error:
            outcomes.append(_bare(error))
    return outcomes


def _bare(error: E) -> E:
    """An error of a group is kept until all are done; its frames would keep what was decoded as long."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def _nothing() -> None:
    """A child that answers this is alive."""


def _finish_one(work: tuple[bytes | Path, Wanted]) -> FinishedMedia:
    source, wanted = work
    if is_video(wanted):
        allow_cpu(_ENCODING_CPU_S)
    return finish_marked(source, wanted)
