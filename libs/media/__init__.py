"""What is true of bytes: their kind, their size, that they can be decoded. Knows no service."""

from __future__ import annotations

from media.checker import Checker, ImageCheck, ImageFit
from media.children import Children, Limits
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.fitting import Fit, FittedImage, fit_image
from media.headers import MAX_PIXELS, Probe, probe
from media.images import MAX_BYTES, ImageFacts, check_image

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Checker",
    "Children",
    "ChildrenFailed",
    "CorruptOutput",
    "Fit",
    "FittedImage",
    "ImageCheck",
    "ImageFacts",
    "ImageFit",
    "Limits",
    "Probe",
    "Reason",
    "check_image",
    "fit_image",
    "probe",
]
