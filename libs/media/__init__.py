"""What is true of bytes: their kind, their size, that they can be decoded. Knows no service."""

from __future__ import annotations

from media.checker import Checker, ImageFit
from media.checking import check_media
from media.children import Children, Limits
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.facts import MAX_BYTES, MAX_PICTURE_BYTES, Facts
from media.finishing import finish_media
from media.fitting import Fit, FittedImage, fit_image
from media.formats import MIMES, sniffed
from media.headers import MAX_PIXELS, Probe, probe
from media.wanted import THUMBNAIL_EDGE, FinishedMedia, Wanted

__all__ = [
    "MAX_BYTES",
    "MAX_PICTURE_BYTES",
    "MAX_PIXELS",
    "MIMES",
    "THUMBNAIL_EDGE",
    "Checker",
    "Children",
    "ChildrenFailed",
    "CorruptOutput",
    "Facts",
    "FinishedMedia",
    "Fit",
    "FittedImage",
    "ImageFit",
    "Limits",
    "Probe",
    "Reason",
    "Wanted",
    "check_media",
    "finish_media",
    "fit_image",
    "probe",
    "sniffed",
]
