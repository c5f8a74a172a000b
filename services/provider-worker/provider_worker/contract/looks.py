"""Whether bytes look like what was asked for."""

from __future__ import annotations

from io import BytesIO

import av
from PIL import Image

from provider_worker.adapters.interface import GenerationRequest, MediaKind


def is_video(request: GenerationRequest, data: bytes) -> bool:
    """Of the asked shape, at least as large and at least as long."""
    with av.open(BytesIO(data), "r") as file:
        pictures, seconds = file.streams.video[0], (file.duration or 0) / av.time_base
        alike = request.width * pictures.height == request.height * pictures.width
        return alike and pictures.width >= request.width and seconds >= (request.duration_s or 0)


def looks_right(request: GenerationRequest, data: bytes) -> bool:
    """Real media: a picture or a video of the asked shape and at least its size, a whole model, or audio."""
    kind = request.kind
    if kind is MediaKind.VIDEO:
        return is_video(request, data)
    if kind is MediaKind.MODEL_3D:
        return data[:4] == b"glTF" and int.from_bytes(data[8:12], "little") == len(data)
    if kind is not MediaKind.IMAGE:
        return data[:3] == b"ID3" or data[0] == 0xFF
    picture = Image.open(BytesIO(data))
    shape = request.width / request.height
    return picture.width >= request.width and abs(picture.width / picture.height - shape) < 0.05
