"""Sounds of the exact length, loudness and format (R49, R50), and loops whose end meets their beginning."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import av
import numpy as np
import soundfile

from media.errors import CorruptOutput, Reason
from media.facts import Facts
from media.formats import MIMES, START, sniffed
from media.loudness import levelled
from media.ogg_marks import ogg_as_stream
from media.pacing import too_short
from media.posters import waveform
from media.sounds import sound_facts
from media.thumbnails import webp_thumbnail
from media.wanted import FinishedMedia, Wanted
from media.waves import Wave, crossfade_length, lengthened, looped, padded, seam, trimmed

MOST_SOUND_SEAM = 1.0
"""Up to here the step from the last sample to the first is no larger than those beside it."""
_MOST_TIMES = 20
"""A sound that would have to be heard more often to fill its time is not what was asked for."""
_AHEAD_S = 1
"""So much is read behind the wanted length, for crossfades."""
_KEPT = {"PCM_16", "PCM_24", "PCM_32", "FLOAT"}
_MP3_RATES = {8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000}
_MP3_RATE = 48_000


@dataclass(frozen=True, slots=True)
class _Saving:
    """`compression` from 0, the best, to 1; `most_peak` in dBTP: lossy formats add a little here and there."""

    container: str
    subtype: str
    compression: float | None = None
    most_peak: float = -1.0


# About 190 kbit/s each.
_SAVING: Mapping[str, _Saving] = {
    "wav": _Saving("WAV", "PCM_16"),
    "flac": _Saving("FLAC", "PCM_16"),
    "ogg": _Saving("OGG", "VORBIS", 0.4, -1.5),
    "mp3": _Saving("MP3", "MPEG_LAYER_III", 0.2, -1.5),
}


@dataclass(frozen=True, slots=True)
class _Heard:
    """As much of a sound as is needed; `there` are its samples before anything was left away."""

    wave: Wave
    rate: int
    there: int
    subtype: str


def finish_sound(data: bytes, wanted: Wanted) -> FinishedMedia:
    """Decode a whole WAV, MP3, OGG or FLAC and make it the sound that is wanted.

    It has round(duration_s * rate) samples at its own rate; an MP3 has 48 kHz where its own is none of MP3's, and
    decodes to exactly so many, while players that only read its header say up to 50 ms more. A longer
    one is cut and faded out. One that is too short by at most 0.25 s or 5 % is padded with silence. Music, which is
    what has a loudness, and loops are lengthened by themselves; anything else is refused. Raises `CorruptOutput`, with
    WRONG_LENGTH or WRONG_FORMAT where it cannot become what is wanted.
    """
    mime = sniffed(data[:START])
    if mime.partition("/")[0] != "audio":
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime}, but {wanted.format} was asked for")
    native = sound_facts(data, mime)
    heard = _heard(data, native, wanted)
    count = heard.there if wanted.duration_s is None else max(1, round(wanted.duration_s * heard.rate))
    saving = _SAVING[wanted.format]
    made = _of_length(heard, count, wanted)
    if wanted.loudness_lufs is not None:
        made = levelled(made, heard.rate, wanted.loudness_lufs, saving.most_peak)
    thumbnail = webp_thumbnail(waveform(made)) if wanted.thumbnail else None
    if made is heard.wave and mime == MIMES[wanted.format]:
        return FinishedMedia(native, hashlib.sha256(data).hexdigest(), native, thumbnail=thumbnail)
    finished = _saved(made, heard, saving, same_format=mime == MIMES[wanted.format])
    facts = sound_facts(finished, MIMES[wanted.format])
    if round((facts.duration_s or 0) * heard.rate) != len(made):
        raise RuntimeError(f"{facts.duration_s} s were written of {len(made) / heard.rate} s")
    return FinishedMedia(
        facts=facts,
        sha256=hashlib.sha256(finished).hexdigest(),
        native=native,
        length_adjusted=count != heard.there,
        data=finished,
        thumbnail=thumbnail,
    )


def sound_seam(data: bytes) -> float:
    """The step from the last sample to the first, as a share of the largest one nearby: up to 1 in a loop."""
    sound_facts(data, sniffed(data[:START]))
    wave, rate = soundfile.read(BytesIO(data), dtype="float32", always_2d=True)
    return seam(wave, rate)


def _heard(data: bytes, native: Facts, wanted: Wanted) -> _Heard:
    rate = native.sample_rate or 0
    there = round((native.duration_s or 0) * rate)
    most = there if wanted.duration_s is None else min(there, round((wanted.duration_s + _AHEAD_S) * rate))
    with soundfile.SoundFile(BytesIO(data)) as file:
        wave = file.read(most, dtype="float32", always_2d=True)
        subtype = str(file.subtype)
    if wanted.format != "mp3":
        return _Heard(wave, rate, there, subtype)
    if wave.shape[1] > 2:
        wave = wave.mean(axis=1, keepdims=True)
    if rate in _MP3_RATES:
        return _Heard(wave, rate, there, subtype)
    return _Heard(_resampled(wave, rate), _MP3_RATE, round(there * _MP3_RATE / rate), subtype)


def _of_length(heard: _Heard, count: int, wanted: Wanted) -> Wave:
    wave, rate = heard.wave, heard.rate
    missing = count - heard.there
    if missing > 0:
        _see_enough(heard, count, wanted)
    if wanted.loop:
        if missing == 0 and seam(wave, rate) <= MOST_SOUND_SEAM:
            return wave
        return _looped(wave if missing <= 0 else lengthened(wave, count + rate // 2, rate), count, rate)
    if missing > 0 and too_short(heard.there / rate, count / rate):
        wave = lengthened(wave, count, rate)
    return padded(trimmed(wave, count, rate), count, rate)


def _see_enough(heard: _Heard, count: int, wanted: Wanted) -> None:
    if not too_short(heard.there / heard.rate, count / heard.rate):
        return
    may_repeat = wanted.loop or wanted.loudness_lufs is not None
    if not may_repeat or heard.there * _MOST_TIMES < count:
        found = f"{heard.there / heard.rate:.2f} s"
        raise CorruptOutput(Reason.WRONG_LENGTH, f"{found}, but {wanted.duration_s:g} s were asked for")


def _looped(wave: Wave, count: int, rate: int) -> Wave:
    zone = crossfade_length(len(wave) - count, count, rate)
    return looped(wave, count, min(zone, len(wave) - count), zone)


def _resampled(wave: Wave, rate: int) -> Wave:
    layout = "mono" if wave.shape[1] == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=_MP3_RATE)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), format="fltp", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    parts = [part.to_ndarray().T for part in (*resampler.resample(frame), *resampler.resample(None))]
    return np.ascontiguousarray(np.concatenate(parts))


def _saved(wave: Wave, heard: _Heard, saving: _Saving, *, same_format: bool) -> bytes:
    out = BytesIO()
    with soundfile.SoundFile(
        out,
        "w",
        heard.rate,
        wave.shape[1],
        subtype=heard.subtype if same_format and heard.subtype in _KEPT else saving.subtype,
        format=saving.container,
        compression_level=saving.compression,
    ) as file:
        # In parts, because the encoder of Vorbis puts all it is given on the stack, and dies of more than a minute.
        for at in range(0, len(wave), heard.rate):
            file.write(wave[at : at + heard.rate])
    # The same sound becomes the same bytes.
    return ogg_as_stream(out.getvalue(), 1) if saving.container == "OGG" else out.getvalue()
