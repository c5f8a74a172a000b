"""Files that are broken, that lie, that are too large or that mean harm: the same ones in every run.

Each has a family, a name, and the reason for which it must be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from media import Reason

Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file. `kind` is the format that whoever finishes it asks for.

    `cut`: something follows the end of whole media. As an upload it is refused; of what was paid for the end is cut
    off. `finished` is why finishing refuses it, where that is another reason than an upload's.
    """

    family: str
    name: str
    reason: Reason
    make: Make
    kind: str
    cut: bool = False

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


@dataclass(frozen=True, slots=True)
class Family:
    """Makes the files of one family."""

    name: str
    kind: str

    def file(self, name: str, reason: Reason, data: bytes | Make) -> Hostile:
        return Hostile(self.name, name, reason, _made(data), self.kind)

    def followed(self, name: str, data: bytes | Make, reason: Reason = Reason.MIXED) -> Hostile:
        """Whole media with something else behind it."""
        return Hostile(self.name, name, reason, _made(data), self.kind, cut=True)

    def cuts(self, whole: bytes, places: Iterable[tuple[float, Reason]]) -> list[Hostile]:
        """A whole file, cut off: after so many bytes, so many before its end, or at a share of it."""
        found = []
        for place, reason in places:
            at = round(len(whole) * place) if isinstance(place, float) else place
            found.append(self.file(f"cut off at {place}", reason, whole[:at]))
        return found

    def patched(self, name: str, reason: Reason, whole: bytes, at: int, new: bytes) -> Hostile:
        assert whole[at : at + len(new)] != new, f"{name} changes nothing"
        return self.file(name, reason, whole[:at] + new + whole[at + len(new) :])


def _made(data: bytes | Make) -> Make:
    return (lambda: data) if isinstance(data, bytes) else data


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without any meaning, always the same ones."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def all_files() -> list[Hostile]:
    """The whole corpus."""
    from media.tests import (
        hostile_models,
        hostile_pictures,
        hostile_skies,
        hostile_sounds,
        hostile_strangers,
        hostile_videos,
    )

    rooms = (hostile_pictures, hostile_skies, hostile_sounds, hostile_videos, hostile_models, hostile_strangers)
    return [file for room in rooms for file in room.files()]
