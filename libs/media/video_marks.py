"""The mark in MP4 and WebM. No frame is read: packets are copied as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from uuid import UUID

from media.errors import CorruptOutput, Reason, in_short
from media.xmp import DIGITAL_SOURCE_TYPE, PACKET, SOURCE_TAG, TAGS

_XMP = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_CREDENTIALS = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
"""What their makers named these boxes (XMP part 3; C2PA, embedding in BMFF)."""


def mark_mp4(data: bytes) -> bytes:
    """Our XMP packet as the last box; of credentials and other packets only the room is left.

    Nothing in front of the frames may change its length, for the index says where each of them is.
    """
    made = bytearray(data)
    for start, end, kind in _boxes(data):
        if kind == b"uuid" and data[start + 8 : start + 24] in {_XMP, _CREDENTIALS}:
            made[start + 4 : start + 8] = b"free"
        if data[start : start + 4] == bytes(4):  # "up to the end of the file", which is no longer the end
            made[start : start + 4] = (end - start).to_bytes(4)
    body = _XMP + PACKET
    return bytes(made + (8 + len(body)).to_bytes(4) + b"uuid" + body)


def mp4_is_marked(data: bytes) -> bool:
    return any(kind == b"uuid" and data[start + 8 : end] == _XMP + PACKET for start, end, kind in _boxes(data))


def _boxes(data: bytes) -> list[tuple[int, int, bytes]]:
    """Begin, end and kind of each box at the top (ISO/IEC 14496-12, 4.2)."""
    found, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        elif size == 0:
            size = len(data) - at
        if size < 8:
            break
        found.append((at, at + size, data[at + 4 : at + 8]))
        at += size
    return found


def mark_webm(data: bytes) -> bytes:
    """Our tags beside those that are there, by a copy of the file: they have to stand before the frames."""
    import av  # noqa: PLC0415 - 35 MB, which only who copies a WebM should pay for

    file = BytesIO()
    with (
        _errors_translated(),
        av.open(BytesIO(data), "r", format="matroska") as source,
        av.open(file, "w", format="webm", options={"fflags": "+bitexact"}) as target,
    ):
        target.metadata.update({**source.metadata, **TAGS})
        tracks = {track.index: target.add_stream_from_template(track, opaque=True) for track in source.streams}
        for track in source.streams.video:  # without it nobody knows how long the last frame is shown
            copied = tracks[track.index].codec_context
            if isinstance(copied, av.VideoCodecContext) and track.average_rate is not None:
                copied.framerate = track.average_rate
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                target.mux_one(packet)
    return file.getvalue()


def webm_is_marked(data: bytes) -> bool:
    import av  # noqa: PLC0415

    with _errors_translated(), av.open(BytesIO(data), "r", format="matroska") as source:
        return source.metadata.get(SOURCE_TAG) == DIGITAL_SOURCE_TYPE


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # PyAV has its own, FFmpeg's numbers become others; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be copied: {in_short(error)}") from None
