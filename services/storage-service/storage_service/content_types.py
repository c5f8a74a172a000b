"""The media types that are served, and how: what is not listed goes out as bytes to be saved (R118)."""

from __future__ import annotations

from dataclasses import dataclass

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type with its file name extension. `shown` types cannot run anything in the page that shows them."""

    mime: str
    extension: str
    shown: bool = True


_TYPES = {
    kind.mime: kind
    for kind in (
        ContentType("image/png", ".png"),
        ContentType("image/jpeg", ".jpg"),
        ContentType("image/webp", ".webp"),
        ContentType("image/gif", ".gif"),
        ContentType("image/avif", ".avif"),
        ContentType("image/bmp", ".bmp"),
        ContentType("image/tiff", ".tif"),
        ContentType("image/ktx2", ".ktx2"),
        ContentType("image/vnd.radiance", ".hdr"),
        ContentType("image/x-exr", ".exr"),
        ContentType("video/mp4", ".mp4"),
        ContentType("video/webm", ".webm"),
        ContentType("video/quicktime", ".mov"),
        ContentType("audio/mpeg", ".mp3"),
        ContentType("audio/wav", ".wav"),
        ContentType("audio/ogg", ".ogg"),
        ContentType("audio/flac", ".flac"),
        ContentType("audio/mp4", ".m4a"),
        ContentType("audio/aac", ".aac"),
        ContentType("model/gltf-binary", ".glb"),
        ContentType("model/gltf+json", ".gltf", shown=False),
        ContentType("application/json", ".json", shown=False),
        ContentType("application/zip", ".zip", shown=False),
        ContentType("text/x-glsl", ".glsl", shown=False),
    )
}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/hdr": "image/vnd.radiance",
    "image/x-hdr": "image/vnd.radiance",
    "image/exr": "image/x-exr",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
}
_OF_EXTENSIONS = {kind.extension: kind.mime for kind in _TYPES.values()} | {
    ".jpeg": "image/jpeg",
    ".tiff": "image/tiff",
}
EXTENSIONS = frozenset(_OF_EXTENSIONS)


def type_of_extension(extension: str) -> str:
    """The media type of files whose names end in `extension`, which begins with a dot; capitals do not matter."""
    return _OF_EXTENSIONS.get(extension.lower(), OCTETS)


def content_type(mime: str) -> ContentType:
    """How bytes whose type was found to be `mime` are served; parameters and capitals do not matter."""
    plain = mime.partition(";")[0].strip().lower()
    return _TYPES.get(_OTHER_NAMES.get(plain, plain), ContentType(OCTETS, ".bin", shown=False))
