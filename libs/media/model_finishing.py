"""3D models: read whole, never changed, and shown in a small picture."""

from __future__ import annotations

import hashlib

from media.model_pictures import picture_of
from media.models import read_model
from media.thumbnails import webp_thumbnail
from media.wanted import FinishedMedia, Wanted


def finish_model(data: bytes, wanted: Wanted) -> FinishedMedia:
    """Read a whole GLB; raises `CorruptOutput`."""
    model = read_model(data)
    thumbnail = webp_thumbnail(picture_of(model.shape)) if wanted.thumbnail else None
    return FinishedMedia(model.facts, hashlib.sha256(data).hexdigest(), model.facts, thumbnail=thumbnail)
