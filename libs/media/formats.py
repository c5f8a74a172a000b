"""Which format bytes are in, by their first bytes: what they are called or claim to be does not count."""

from __future__ import annotations

from collections.abc import Mapping

from media.errors import CorruptOutput, Reason

START = 64
"""This many bytes tell every format that is known."""

MIMES: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "exr": "image/x-exr",
    "hdr": "image/vnd.radiance",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "glb": "model/gltf-binary",
}
"""The formats that can be asked for, and their MIME types."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x76\x2f\x31\x01", "image/x-exr"),
    (b"#?RADIANCE\n", "image/vnd.radiance"),
    (b"glTF", "model/gltf-binary"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# The major brands of MP4 as video; QuickTime, HEIF and AVIF pictures and M4A sounds have others.
_MP4_BRANDS = {
    *(b"iso%d" % number for number in range(2, 10)),
    *(b"isom", b"mp41", b"mp42", b"mp71", b"avc1", b"M4V ", b"MSNV", b"dash", b"cmfc", b"cmf2"),
}
_STRANGERS = (
    (b"BM", "a BMP"),
    (b"%PDF", "a PDF"),
    (b"PK", "a ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1a\x45\xdf\xa3", "Matroska"),
)


def sniffed(start: bytes) -> str:
    """The MIME type of bytes that begin so; raises `CorruptOutput` for what is none of the known formats."""
    if not start:
        raise CorruptOutput(Reason.EMPTY, "zero bytes")
    for magic, mime in _MAGIC:
        if start.startswith(magic):
            return mime
    found = _of_container(start) or ("audio/mpeg" if _is_mp3_frame(start) else None)
    if found is None:
        raise CorruptOutput(Reason.NOT_MEDIA, f"no media that is known, but {_looks_like(start)}")
    return found


def _of_container(start: bytes) -> str | None:
    if start.startswith(b"RIFF"):
        return _RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return "video/mp4" if start[8:12] in _MP4_BRANDS else None
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"\x42\x82\x84webm" in start[:START] else None
    return None


def _is_mp3_frame(start: bytes) -> bool:
    """Whether a frame of MPEG-1, -2 or -2.5, layer III, begins here: its header has no magic but impossible values."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE6 != 0xE2:
        return False
    version, bitrate, rate = start[1] >> 3 & 3, start[2] >> 4, start[2] >> 2 & 3
    return version != 1 and bitrate not in {0, 15} and rate != 3


def _looks_like(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if text == b"<":
        return "HTML or XML"
    if text in {b"{", b"["}:
        return "JSON"
    if start[4:8] == b"ftyp":
        return f"a file of the brand {start[8:12].decode('latin-1').strip()!r}"
    return next((name for magic, name in _STRANGERS if start.startswith(magic)), "something unknown")
