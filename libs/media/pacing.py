"""Frames of a video in time: as many as were asked for, one as long as the other, and the last before the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import av

from media.frames import blended

CROSSFADE_S = Fraction(1, 2)
_SLACK_S, _SLACK_SHARE = 0.25, 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` frames a second; of `there` frames `asked` are kept, from `lead` on, the last `blend` of them blended."""

    rate: Fraction
    there: int
    asked: int
    lead: int = 0
    blend: int = 0

    @property
    def duration(self) -> Fraction:
        return self.asked / self.rate

    def crossfaded(self) -> Pace:
        """The same, and its end is blended into what comes before its first frame."""
        blend = max(1, min(round(CROSSFADE_S * self.rate), self.asked // 2))
        return Pace(self.rate, self.there, self.asked, lead=max(0, min(blend, self.there - self.asked)), blend=blend)


def too_short(there_s: float, asked_s: float) -> bool:
    """Whether more is missing than may be added without anybody asking for it: 0.25 s, or one part in twenty."""
    return asked_s - there_s > max(_SLACK_S, _SLACK_SHARE * asked_s)


def steady(frames: Iterable[av.VideoFrame], rate: Fraction) -> Iterator[av.VideoFrame]:
    """For each moment the frame that is shown then, and the last one without end."""
    held: av.VideoFrame | None = None
    start, shown = Fraction(0), 0
    for frame in frames:
        at = (frame.pts or 0) * (frame.time_base or Fraction(0))
        if held is None:
            start = at
        else:
            due = round((at - start) * rate)
            while shown < due:
                yield held
                shown += 1
        held = frame
    while held is not None:
        yield held


def paced(frames: Iterator[av.VideoFrame], pace: Pace) -> Iterator[av.VideoFrame]:
    """The kept ones of steady frames.

    Each of the last ones is blended with the frame that comes as far before the first kept one as it stands before the
    end; with the very first frame where there is none so early.
    """
    first: list[av.VideoFrame] = []
    for number, frame in enumerate(islice(frames, pace.lead + pace.asked)):
        if number < max(1, pace.lead):
            first.append(frame)
        if number < pace.lead:
            continue
        left = pace.lead + pace.asked - number
        if left > pace.blend:
            yield frame
        else:
            share = (pace.blend - left + 1) / (pace.blend + 1)
            # Slow at both ends: a step of the same size each time would be seen where it stops.
            yield blended(frame, first[max(0, pace.lead - left)], share * share * (3 - 2 * share))
