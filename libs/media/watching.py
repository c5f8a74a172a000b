"""What is seen of a video while it is decoded once: its pace, its poster, and whether its end meets its beginning."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

_SHORTER_EDGE = 240
_CANDIDATES_PER_S = 2
_UNSEEN = 0.5
"""A step of half a level in 255 is not seen, however still the video is."""
_USUAL_RATES = (*(Fraction(rate) for rate in range(1, 121)), *(Fraction(k * 1000, 1001) for k in (24, 30, 48, 60, 120)))
_CLOSE = Fraction(1, 2000)
_CLOCK_S = Fraction(1, 1000)
"""A WebM says in whole milliseconds when a frame is shown."""
_DEVIATION = 0.02
_FINEST = 1001

Sample = npt.NDArray[np.float32]


class Watcher:
    """Shown each frame of `video_facts`; `until_s` is how much of the video is kept."""

    def __init__(self, *, until_s: float | None = None) -> None:
        self._until_s = until_s
        self._scaler = VideoReformatter()
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._steps: list[float] = []
        self._returns: list[float] = []
        self._best = -1.0
        self._next_candidate = Fraction(0)
        self.frames = 0
        self.start = Fraction(0)
        self.end = Fraction(0)
        self.sound_end: Fraction | None = None
        self.poster: av.VideoFrame | None = None

    def __call__(self, frame: av.VideoFrame | av.AudioFrame) -> None:
        at = (frame.pts or 0) * (frame.time_base or Fraction(0))
        if isinstance(frame, av.AudioFrame):
            self.sound_end = max(self.sound_end or at, at + Fraction(frame.samples, frame.sample_rate))
            return
        if not self.frames:
            self.start = at
        self.frames += 1
        self.end = at
        sample = self._sampled(frame)
        self._compare(sample)
        self._consider(frame, at - self.start, sample)

    def _sampled(self, frame: av.VideoFrame) -> Sample:
        """Pixels here and there, none of them mixed with others: a mean would hide what flickers."""
        step = max(1, min(frame.width, frame.height) // _SHORTER_EDGE)
        small = self._scaler.reformat(
            frame, frame.width // step, frame.height // step, "gray", interpolation=Interpolation.POINT, threads=1
        )
        return small.to_ndarray().astype(np.float32)

    def _compare(self, sample: Sample) -> None:
        if self._first is None or self._last is None:
            self._first = sample
            self._returns.append(0.0)
        else:
            self._steps.append(float(np.mean(np.abs(sample - self._last))))
            self._returns.append(float(np.mean(np.abs(sample - self._first))))
        self._last = sample

    def _consider(self, frame: av.VideoFrame, at: Fraction, sample: Sample) -> None:
        """The poster is the frame with the most contrast of two in each second: not a black one, nor a fade."""
        if at < self._next_candidate or (self._until_s is not None and self.poster is not None and at >= self._until_s):
            return
        self._next_candidate = at + Fraction(1, _CANDIDATES_PER_S)
        contrast = float(sample.std())
        if contrast > self._best:
            self._best, self.poster = contrast, frame

    def seam(self, frames: int | None = None) -> float:
        """The step from the last of so many frames to the first, as a share of the usual step between two."""
        last = (frames or self.frames) - 1
        usual = float(np.mean(self._steps[:last])) if self._steps[:last] else 0.0
        return self._returns[last] / max(usual, _UNSEEN)

    def rate(self, declared: Fraction | None) -> Fraction:
        """Frames a second: what the file declares or what is usual, where its frames agree with it."""
        span = self.end - self.start
        if self.frames < 2 or span <= 0:
            return declared or Fraction(24)
        seen = (self.frames - 1) / span
        nearest = min((*filter(None, (declared,)), *_USUAL_RATES), key=lambda rate: abs(rate / seen - 1))
        if abs(nearest / seen - 1) <= _CLOSE + _CLOCK_S / span:
            return nearest
        if declared and abs(declared / seen - 1) <= _DEVIATION:
            return declared
        return seen.limit_denominator(_FINEST)
