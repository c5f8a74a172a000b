"""Small pictures of larger ones, so that a list is a page of pictures."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from media.images import in_rgb
from media.wanted import THUMBNAIL_EDGE


def webp_thumbnail(picture: Image.Image) -> bytes:
    """The picture as WebP, its longer edge THUMBNAIL_EDGE pixels at most; it is never enlarged."""
    plain = in_rgb(picture)
    scale = min(1.0, THUMBNAIL_EDGE / max(plain.size))
    size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
    # Reduced by whole numbers first: an eighth of the time, and at this size nobody sees a difference.
    small = plain.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    file = BytesIO()
    small.save(file, "webp", quality=80, method=2)
    return file.getvalue()
