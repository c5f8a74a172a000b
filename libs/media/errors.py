"""Why bytes are not the media they should be."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    EMPTY = "empty"
    NOT_MEDIA = "not_media"
    """Nothing of what is known by its content: a page, an error in words, or a format that nobody asks for."""
    WRONG_FORMAT = "wrong_format"
    WRONG_SIZE = "wrong_size"
    WRONG_LENGTH = "wrong_length"
    """Too short for the time that was asked for."""
    TOO_LARGE = "too_large"
    """More bytes, pixels or parts than allowed."""
    ANIMATED = "animated"
    SILENT = "silent"
    """Nothing to hear, nothing to see: no sample, no frame, no triangle, or only zeros."""
    CUT_OFF = "cut_off"
    """Less is there than the file itself declares."""
    EXTERNAL = "external"
    """It leans on a file elsewhere, or on an extension of its format that not every viewer has."""
    MIXED = "mixed"
    """Something else is in the file: behind its end, or where a format keeps comments."""
    UNDECODABLE = "undecodable"


class CorruptOutput(Exception):
    """The bytes are not the media that was asked for; never stored (R72). `message` may be shown."""

    code: ClassVar[str] = "CORRUPT_OUTPUT"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class ChildrenFailed(Exception):
    """A child process died or did not answer in time; says nothing about the bytes of any one call."""


def in_short(error: Exception) -> str:
    """What a decoder says is wrong, as part of a message: in FFmpeg's words, libsndfile's, or its own."""
    words = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    return str(words or type(error).__name__)[:200]
