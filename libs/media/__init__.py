"""What is true of bytes, and bytes made into what was asked for. Knows no service."""

from __future__ import annotations

from media.checker import Checker
from media.checking import check_media
from media.children import Children, Limits
from media.credentials import Generator, Statement
from media.errors import ChildrenFailed, CorruptOutput, Reason
from media.facts import MAX_BYTES, MAX_PICTURE_BYTES, Facts
from media.finishing import finish_media
from media.formats import MIMES, sniffed
from media.headers import MAX_PIXELS, Probe, probe
from media.marks import is_marked, mark_place, marked
from media.probing import probe_media
from media.signer import Signed, Signer
from media.signing_material import SigningMaterial, UnusableMaterial
from media.wanted import THUMBNAIL_EDGE, FinishedMedia, Fit, Wanted
from media.xmp import DIGITAL_SOURCE_TYPE

__all__ = [
    "DIGITAL_SOURCE_TYPE",
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
    "Generator",
    "Limits",
    "Probe",
    "Reason",
    "Signed",
    "Signer",
    "SigningMaterial",
    "Statement",
    "UnusableMaterial",
    "Wanted",
    "check_media",
    "finish_media",
    "is_marked",
    "mark_place",
    "marked",
    "probe",
    "probe_media",
    "sniffed",
]
