"""Small real files of every kind, for tests."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
import soundfile
from av.container import OutputContainer
from PIL import Image

_SUBTYPES = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}


def png(width: int, height: int, colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "png")
    return file.getvalue()


def sound(seconds: float, form: str = "WAV", *, rate: int = 22_050, loudness: float = 0.3) -> bytes:
    """A tone in stereo; a loudness of 0 is silence."""
    tone = loudness * np.sin(np.arange(round(seconds * rate)) * 0.05)
    file = BytesIO()
    soundfile.write(file, np.stack([tone, tone], axis=1), rate, format=form, subtype=_SUBTYPES[form])
    return file.getvalue()


def video(
    width: int = 64,
    height: int = 48,
    *,
    frames: int = 24,
    fps: int = 24,
    form: str = "mp4",
    codec: str = "mpeg4",
    sound: str | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """Noise that moves; `sound` is the codec of as many seconds of silence."""
    file = BytesIO()
    noise = np.random.default_rng(7).integers(0, 255, (height * 3 // 2, width), dtype=np.uint8)
    with av.open(file, "w", format=form, options=options or {}) as container:
        pictures = container.add_stream(codec, rate=fps)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        track = container.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number, axis=1), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if isinstance(track, av.AudioStream):
            _be_silent(container, track, frames / fps)
    return file.getvalue()


def sound_as_mp4() -> bytes:
    """A video but for its pictures."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=48_000, layout="stereo")
        assert isinstance(track, av.AudioStream)
        _be_silent(container, track, 1.0)
    return file.getvalue()


def _be_silent(container: OutputContainer, track: av.AudioStream, seconds: float) -> None:
    silence = av.AudioFrame.from_ndarray(
        np.zeros((2, round(48_000 * seconds)), np.float32), format="fltp", layout="stereo"
    )
    silence.sample_rate, silence.pts = 48_000, 0
    for part in _pieces(silence, track.codec_context.frame_size or 1024):
        container.mux(track.encode(part))
    container.mux(track.encode(None))


def _pieces(frame: av.AudioFrame, size: int) -> list[av.AudioFrame]:
    queue, found = av.AudioFifo(), []
    queue.write(frame)
    while (part := queue.read(size, partial=True)) is not None:
        found.append(part)
    return found


def exr(width: int = 64, height: int = 32, **options: str) -> bytes:
    return _light("exr", width, height, options)


def hdr(width: int = 64, height: int = 32) -> bytes:
    return _light("hdr", width, height, {})


def flat_hdr(width: int, height: int) -> bytes:
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    return head.encode() + bytes([100, 120, 90, 129]) * (width * height)


def _light(codec: str, width: int, height: int, options: dict[str, str]) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "gbrpf32le"
    encoder.time_base, encoder.options = Fraction(1, 25), options
    frame = av.VideoFrame(width, height, "gbrpf32le")
    for number, plane in enumerate(frame.planes):
        values = np.random.default_rng(number).random((height, plane.line_size // 4), dtype=np.float32) * 5
        values[: height // 2] = 1
        plane.update(values.tobytes())
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def document(triangles: int = 2, *, maps: tuple[str, ...] = ()) -> tuple[dict[str, Any], bytes]:
    """A glTF document of a strip of triangles and the bytes of its buffer; `maps` as in glTF, all of one picture."""
    corners = np.arange(3 * (triangles + 2), dtype=np.float32)
    indices = np.array([(n, n + 1, n + 2) for n in range(triangles)], np.uint16).ravel()
    parts = [corners.tobytes(), indices.tobytes(), png(4, 4)]
    binary, views = b"", []
    for part in parts:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(part)})
        binary += part + bytes(-len(part) % 4)
    surface = {name: {"index": 0} for name in maps if name in {"baseColorTexture", "metallicRoughnessTexture"}}
    material = {name: {"index": 0} for name in maps if name not in surface}
    made = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": surface, **material}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 2, "mimeType": "image/png"}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": triangles + 2, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": triangles * 3, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return made, binary


def glb_of(made: dict[str, Any], binary: bytes) -> bytes:
    """The file of a document, whatever stands in it."""
    text = json.dumps(made, separators=(",", ":")).encode()
    return glb_of_chunks((b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\x00", binary + bytes(-len(binary) % 4)))


def glb_of_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(struct.pack("<I4s", len(data), kind) + data for kind, data in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def glb(triangles: int = 2, *, maps: tuple[str, ...] = ()) -> bytes:
    return glb_of(*document(triangles, maps=maps))
