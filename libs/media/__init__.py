"""What is true of bytes: their kind, their size, that they can be decoded. Knows no service."""

from __future__ import annotations

from media.checker import Checker, ImageFit
from media.checking import check_media
from media.children import Children, Limits
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.facts import MAX_BYTES, MAX_PICTURE_BYTES, Facts
from media.fitting import Fit, FittedImage, fit_image
from media.formats import sniffed
from media.headers import MAX_PIXELS, Probe, probe

__all__ = [
    "MAX_BYTES",
    "MAX_PICTURE_BYTES",
    "MAX_PIXELS",
    "Checker",
    "Children",
    "ChildrenFailed",
    "CorruptOutput",
    "Facts",
    "Fit",
    "FittedImage",
    "ImageFit",
    "Limits",
    "Probe",
    "Reason",
    "check_media",
    "fit_image",
    "probe",
    "sniffed",
]
