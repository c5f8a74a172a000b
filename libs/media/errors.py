"""Why bytes are not the media they should be."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    WRONG_FORMAT = "wrong_format"
    WRONG_SIZE = "wrong_size"
    TOO_LARGE = "too_large"
    """More bytes or more declared pixels than allowed."""
    ANIMATED = "animated"
    UNDECODABLE = "undecodable"


class CorruptOutput(Exception):
    """The bytes are not the picture that was asked for; never stored (R72). `message` may be shown."""

    code: ClassVar[str] = "CORRUPT_OUTPUT"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class ChildrenFailed(Exception):
    """A child process died or did not answer in time; says nothing about the bytes of any one call."""
