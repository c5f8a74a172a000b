"""Linear light as a file: OpenEXR in half floats, or Radiance HDR."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR

from provider_worker.adapters.sandbox.drawing.colours import Array


def exr(light: Array) -> bytes:
    """Height x width x 3 as an OpenEXR picture of scan lines; a half float holds no more than 65,504."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sky.exr"
        # The library writes to a path alone.
        OpenEXR.File(header, {"RGB": light.astype(np.float16)}).write(str(path))
        return path.read_bytes()


def hdr(light: Array) -> bytes:
    """Height x width x 3 as a Radiance picture, its rows run-length encoded."""
    height, width = light.shape[:2]
    encoder = av.CodecContext.create("hdr", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "gbrpf32le"
    encoder.time_base = Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(light, dtype=np.float32), format="gbrpf32le")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
