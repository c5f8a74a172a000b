"""Videos of the exact size and length, frame by frame (R46, R108), and loops whose last frame meets the first (R48)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av

from media.errors import CorruptOutput, Reason
from media.facts import Facts
from media.formats import MIMES, START, sniffed
from media.frame_sizes import MOST_FRAME_PIXELS
from media.frames import FrameFitter, Placing, placing
from media.pacing import Pace, paced, steady, too_short
from media.posters import poster
from media.thumbnails import webp_thumbnail
from media.video_sound import sound_beside
from media.video_writing import written
from media.videos import decoding, opened, picture_track, video_facts
from media.wanted import FinishedMedia, Method, Wanted
from media.watching import Watcher

MOST_LOOP_SEAM = 1.5
"""Up to here the step from the last frame to the first is one like those within the video."""
_EXACT_S = 0.001
_SOUND_SLACK_S = 0.1
"""So far may the sound of a video that came end before or behind its pictures."""


@dataclass(frozen=True, slots=True)
class _Plays:
    """What every browser plays in a container."""

    pictures: frozenset[str]
    layouts: frozenset[str]
    sounds: frozenset[str]


_PLAYED: Mapping[str, _Plays] = {
    "video/mp4": _Plays(frozenset({"h264"}), frozenset({"yuv420p", "yuvj420p"}), frozenset({"aac", "mp3"})),
    "video/webm": _Plays(frozenset({"vp8", "vp9", "av1"}), frozenset({"yuv420p"}), frozenset({"opus", "vorbis"})),
}


@dataclass(frozen=True, slots=True)
class _Native:
    """A video that came, decoded once."""

    data: bytes
    facts: Facts
    seen: Watcher
    declared_rate: Fraction | None
    plays: bool


def finish_video(data: bytes, wanted: Wanted) -> FinishedMedia:
    """Decode a whole MP4 or WebM and make it the video that is wanted, at its own frames per second.

    It has round(duration_s * fps) frames, and `length_adjusted` says as well that no number of its frames lasts as long
    as was asked for. A longer one is cut; one that is too short by at most 0.25 s or 5 % stands
    still at its end; one that is shorter is refused. Its sound becomes as long as the pictures. Where the end of a loop
    does not meet its beginning already, half a second of it is blended into what came before the beginning, and where
    nothing did, into the first frame. Both wanted edges are even. Raises `CorruptOutput`, with WRONG_SIZE,
    WRONG_LENGTH or WRONG_FORMAT where it cannot become what is wanted.
    """
    _see_wanted(wanted)
    native = _decoded(data, wanted)
    size = (native.facts.width or 0, native.facts.height or 0)
    place = placing(size, wanted)
    same_size = place.canvas == size or not (wanted.width or wanted.height)
    if not same_size and wanted.fit == "exact_only":
        asked = f"{place.canvas[0]}x{place.canvas[1]}"
        raise CorruptOutput(Reason.WRONG_SIZE, f"{size[0]}x{size[1]} pixels, but exactly {asked} were asked for")
    pace = _pace(native, wanted)
    thumbnail = _thumbnail(native, place) if wanted.thumbnail else None
    if same_size and not pace.blend and _is_right(native, pace, wanted):
        return FinishedMedia(
            native.facts,
            hashlib.sha256(data).hexdigest(),
            native.facts,
            length_adjusted=_is_adjusted(pace, wanted),
            thumbnail=thumbnail,
        )
    facts, made = _made(native, place, pace, wanted)
    method: Method = "none"
    if not same_size:
        method = "pad" if wanted.fit == "pad" else "crop"
    return FinishedMedia(
        facts=facts,
        sha256=hashlib.sha256(made).hexdigest(),
        native=native.facts,
        method=method,
        scale=1.0 if same_size else place.scale,
        crop_share=0.0 if same_size else place.crop_share,
        length_adjusted=_is_adjusted(pace, wanted),
        data=made,
        thumbnail=thumbnail,
    )


def loop_seam(data: bytes) -> float:
    """The step from the last frame to the first, as a share of the usual one: about 1 in a loop, 0 in a still."""
    seen = Watcher()
    video_facts(data, sniffed(data[:START]), seen)
    return seen.seam()


def _see_wanted(wanted: Wanted) -> None:
    if wanted.width % 2 or wanted.height % 2:
        raise ValueError(f"a video of {wanted.width}x{wanted.height} pixels: both edges are even")
    if wanted.width * wanted.height > MOST_FRAME_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"{wanted.width}x{wanted.height} pixels cannot be made")


def _decoded(data: bytes, wanted: Wanted) -> _Native:
    mime = sniffed(data[:START])
    played = _PLAYED.get(mime)
    if played is None:
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime}, but {wanted.format} was asked for")
    seen = Watcher(until_s=wanted.duration_s)
    facts = video_facts(data, mime, seen)
    with decoding(), opened(data, mime) as container:
        stream = picture_track(container)
        sounds = {sound.codec.canonical_name for sound in container.streams.audio}
        plays = (
            stream.codec.canonical_name in played.pictures
            and stream.codec_context.pix_fmt in played.layouts
            and sounds <= played.sounds
        )
        return _Native(data, facts, seen, stream.average_rate, plays)


def _pace(native: _Native, wanted: Wanted) -> Pace:
    rate = native.seen.rate(native.declared_rate)
    long = Fraction(native.facts.duration_s or 0)
    there = max(round((native.seen.end - native.seen.start) * rate) + 1, round(long * rate))
    if wanted.duration_s is None:
        pace = Pace(rate, there, there)
    else:
        if too_short(float(there / rate), wanted.duration_s):
            found = f"{float(there / rate):.2f} s"
            raise CorruptOutput(Reason.WRONG_LENGTH, f"{found}, but {wanted.duration_s:g} s were asked for")
        pace = Pace(rate, there, max(1, round(Fraction(wanted.duration_s) * rate)))
    if not wanted.loop or native.seen.seam(min(pace.asked, native.seen.frames)) <= MOST_LOOP_SEAM:
        return pace
    return pace.crossfaded()


def _is_adjusted(pace: Pace, wanted: Wanted) -> bool:
    is_exact = wanted.duration_s is None or abs(float(pace.duration) - wanted.duration_s) <= _EXACT_S
    return pace.there != pace.asked or not is_exact


def _is_right(native: _Native, pace: Pace, wanted: Wanted) -> bool:
    if not native.plays or native.facts.mime != MIMES[wanted.format] or native.facts.frames != pace.asked:
        return False
    if abs((native.facts.duration_s or 0.0) - float(pace.duration)) * float(pace.rate) > 0.5:
        return False
    sound_end = native.seen.sound_end
    return sound_end is None or abs(float(sound_end - native.seen.start - pace.duration)) <= _SOUND_SLACK_S


def _made(native: _Native, place: Placing, pace: Pace, wanted: Wanted) -> tuple[Facts, bytes]:
    data, mime = native.data, native.facts.mime
    sound = sound_beside(data, mime, wanted.format, native.seen.start, pace)
    frames = paced(steady(map(FrameFitter(place), _frames(data, mime)), pace.rate), pace)
    made = written(wanted.format, pace.rate, frames, sound)
    facts = Facts(
        MIMES[wanted.format],
        len(made),
        width=place.canvas[0],
        height=place.canvas[1],
        duration_s=round(float(pace.duration), 3),
        frames=pace.asked,
        fps=round(float(pace.rate), 3),
        has_audio=sound is not None,
    )
    return facts, made


def _frames(data: bytes, mime: str) -> Iterator[av.VideoFrame]:
    with decoding(), opened(data, mime) as container:
        yield from container.decode(picture_track(container))


def _thumbnail(native: _Native, place: Placing) -> bytes | None:
    """Of what is shown in the end, so cut or padded as the video is."""
    frame = native.seen.poster
    return webp_thumbnail(poster(FrameFitter(place)(frame))) if frame is not None else None
