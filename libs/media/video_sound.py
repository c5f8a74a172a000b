"""The sound of a video, of the same length as its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from media.pacing import Pace
from media.videos import decoding, opened, picture_track
from media.waves import Wave, crossfade_length, looped, padded, trimmed

_AAC_RATES = {16_000, 22_050, 24_000, 32_000, 44_100, 48_000}
_OPUS_RATE = 48_000
_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True)
class Sound:
    wave: Wave
    rate: int

    @property
    def layout(self) -> str:
        return _LAYOUTS[self.wave.shape[1]]


def sound_beside(data: bytes, mime: str, form: str, start: Fraction, pace: Pace) -> Sound | None:
    """The first track of sound, cut and closed as the pictures are, at a rate that `form` can have; None without one.

    `start` is when the first picture is shown. More than two channels become two.
    """
    found = _decoded(data, mime, form, start, (pace.lead + pace.asked) / pace.rate)
    if found is None:
        return None
    count, lead = round(pace.duration * found.rate), round(pace.lead / pace.rate * found.rate)
    if not pace.blend:
        return Sound(padded(trimmed(found.wave, count, found.rate), count, found.rate), found.rate)
    whole = padded(found.wave, lead + count, found.rate)
    return Sound(looped(whole, count, lead, crossfade_length(lead, count, found.rate)), found.rate)


def _decoded(data: bytes, mime: str, form: str, start: Fraction, seconds: Fraction) -> Sound | None:
    """From `start` on for at least so many seconds, where there is as much."""
    with decoding(), opened(data, mime) as container:
        picture_track(container)
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        native = stream.codec_context.sample_rate
        rate = native if form == "mp4" and native in _AAC_RATES else _OPUS_RATE
        layout = _LAYOUTS[min(2, stream.codec_context.layout.nb_channels)]
        parts: list[Wave] = []
        ahead = 0
        most = round((seconds + 1) * rate)
        for frame in _resampled(container.decode(stream), rate, layout):
            if not parts and frame.pts is not None and frame.time_base is not None:
                ahead = round((frame.pts * frame.time_base - start) * rate)
                most -= max(0, ahead)
            parts.append(np.asarray(frame.to_ndarray().T, np.float32))
            most -= frame.samples
            if most <= 0:
                break
    if not parts:
        return None
    wave = np.concatenate(parts)
    if ahead > 0:
        wave = np.concatenate([np.zeros((min(ahead, round(seconds * rate)), wave.shape[1]), np.float32), wave])
    return Sound(np.ascontiguousarray(wave[max(0, -ahead) :]), rate)


def _resampled(frames: Iterator[av.AudioFrame], rate: int, layout: str) -> Iterator[av.AudioFrame]:
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    for frame in frames:
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
