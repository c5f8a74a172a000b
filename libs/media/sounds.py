"""Whole sounds: decoded to the last sample, and held against the length that the file itself declares.

The decoder alone would pass a file that was cut off: it takes what is there for all there was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from io import BytesIO

import soundfile

from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts
from media.riff import MOST_CHUNKS

_CONTAINERS = {
    "audio/wav": {"WAV", "WAVEX"},
    "audio/mpeg": {"MP3"},
    "audio/ogg": {"OGG"},
    "audio/flac": {"FLAC"},
}
_BLOCK = 1 << 16
_MOST_CHANNELS = 8
_RATES = range(8_000, 192_001)
MOST_SECONDS = 3600
"""Of sound: more is never asked for, and takes a minute to decode."""
_NOT_KNOWN_YET = {0xFFFFFFFF, 0x7FFFFFFF}
"""What a WAV that was written into a pipe says of its length."""
_PLAIN_SAMPLES = {1, 3, 0xFFFE}
"""Whole numbers, floating point numbers, and either of them with a longer header."""
_XING_WITHIN = 200


def sound_facts(data: bytes, mime: str) -> Facts:
    """Decode a whole WAV, MP3, OGG or FLAC; raises `CorruptOutput`, also where there is not one sample but zero."""
    _ENDS.get(mime, _any_end)(data)
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            _see_header(file, mime)
            frames, heard = _decoded(file)
            declared = file.frames if mime != "audio/mpeg" or _counts_its_frames(data) else 0
            rate, channels = file.samplerate, file.channels
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # libsndfile has its own, its callbacks have others; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None
    if not frames:
        raise CorruptOutput(Reason.SILENT, "a sound of no length")
    if frames < declared:
        raise CorruptOutput(Reason.CUT_OFF, f"the sound is cut off: {frames} of {declared} samples")
    if not heard:
        raise CorruptOutput(Reason.SILENT, "nothing but silence")
    return Facts(mime, len(data), duration_s=frames / rate, sample_rate=rate, channels=channels)


def _see_header(file: soundfile.SoundFile, mime: str) -> None:
    if file.format not in _CONTAINERS[mime]:
        raise CorruptOutput(Reason.UNDECODABLE, f"begins as {mime}, but is {file.format}")
    if not 1 <= file.channels <= _MOST_CHANNELS or file.samplerate not in _RATES:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares {file.channels} channels at {file.samplerate} Hz")
    if mime != "audio/mpeg" and file.frames > MOST_SECONDS * file.samplerate:  # of an MP3 it may be a guess
        raise CorruptOutput(Reason.TOO_LARGE, _too_long(file))


def _too_long(file: soundfile.SoundFile) -> str:
    return f"a sound of {file.frames // file.samplerate} s, {MOST_SECONDS} are allowed"


def _decoded(file: soundfile.SoundFile) -> tuple[int, bool]:
    """How many samples of each channel there are, and whether any of them is heard."""
    block = bytearray(_BLOCK * 2 * file.channels)
    silence = bytes(len(block))
    frames, heard = 0, False
    while got := file.buffer_read_into(block, dtype="int16"):
        frames += got
        if frames > MOST_SECONDS * file.samplerate:
            raise CorruptOutput(Reason.TOO_LARGE, _too_long(file))
        end = got * 2 * file.channels
        heard = heard or memoryview(block)[:end] != memoryview(silence)[:end]
    return frames, heard


def _any_end(_: bytes) -> None:
    """FLAC and MP3: what is missing shows in the number of samples."""


def _wav_end(data: bytes) -> None:
    at = 12
    try:
        for _ in range(MOST_CHUNKS):
            name, length = struct.unpack_from("<4sI", data, at)
            if name == b"data":
                break
            if name == b"fmt ":
                _see_wav_format(*struct.unpack_from("<HHIIHH", data, at + 8))
            at += 8 + length + length % 2
        else:
            raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_CHUNKS} chunks")
    except struct.error:
        raise CorruptOutput(Reason.CUT_OFF, "a WAV without samples") from None
    if length not in _NOT_KNOWN_YET and at + 8 + length > len(data):
        raise CorruptOutput(Reason.CUT_OFF, f"the sound is cut off: {len(data) - at - 8} of {length} bytes")


def _see_wav_format(form: int, channels: int, _rate: int, _per_second: int, block: int, bits: int) -> None:
    """Players believe how long a block of samples is, and the decoder does not ask."""
    if form in _PLAIN_SAMPLES and block != channels * -(-bits // 8):
        said = f"{channels} channels of {bits} bits in blocks of {block} bytes"
        raise CorruptOutput(Reason.UNDECODABLE, f"contradicts itself: {said}")


def _ogg_end(data: bytes) -> None:
    """The last page says that it is the last, and is whole (RFC 3533)."""
    at = data.rfind(b"OggS")
    try:
        (flags,) = struct.unpack_from("<B", data, at + 5)
        (segments,) = struct.unpack_from("<B", data, at + 26)
    except struct.error:
        flags, segments = 0, 0
    body = data[at + 27 : at + 27 + segments]
    if not flags & 0x04 or len(body) < segments or at + 27 + segments + sum(body) > len(data):
        raise CorruptOutput(Reason.CUT_OFF, "the sound is cut off: its last page is missing")


_ENDS: Mapping[str, Callable[[bytes], None]] = {"audio/wav": _wav_end, "audio/ogg": _ogg_end}


def _counts_its_frames(data: bytes) -> bool:
    """Whether an MP3 has the header that numbers its frames; without it the decoder only guesses how many there are."""
    start = 0
    if data.startswith(b"ID3") and len(data) > 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    head = data[start : start + _XING_WITHIN]
    return b"Xing" in head or b"Info" in head
