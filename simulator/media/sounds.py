"""Sound of an exact length: a few notes of one scale over a bass, as WAV, FLAC or MP3."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from simulator.generation import Output

# Not OGG: each of its files has a serial number drawn by lot, and these bytes must come out the same again.
FORMATS = {
    "audio/mpeg": ("MP3", "MPEG_LAYER_III"),
    "audio/wav": ("WAV", "PCM_16"),
    "audio/flac": ("FLAC", "PCM_16"),
}
_SCALE = (0, 2, 4, 7, 9)
_NOTE_S = 0.5
_FADE_S = 0.01


def sound(duration_s: float, *, mime: str, seed: int, sample_rate: int = 44_100, channels: int = 2) -> Output:
    """An output of this length in seconds."""
    return Output("sound", mime, seed, {"duration_s": duration_s, "sample_rate": sample_rate, "channels": channels})


def played(mime: str, seed: int, params: Mapping[str, Any]) -> bytes:
    """The file."""
    rate, duration = int(params["sample_rate"]), float(params["duration_s"])
    luck = random.Random(seed)  # noqa: S311 - a tune, no secret
    wave = np.repeat(tune(luck, rate, round(duration * rate))[:, None], int(params["channels"]), axis=1)
    form, subtype = FORMATS[mime]
    out = BytesIO()
    soundfile.write(out, wave, rate, format=form, subtype=subtype)
    return out.getvalue()


def stamped(data: bytes, mime: str, seed: int) -> bytes:
    """The same sound with the seed in a note that players leave out."""
    note = f"seed {seed}".encode()
    if mime == "audio/mpeg":
        frame = b"TXXX" + struct.pack(">IH", len(note) + 2, 0) + b"\x00\x00" + note
        return b"ID3\x03\x00\x00" + bytes((0, 0, 0, len(frame))) + frame + data
    if mime == "audio/flac":
        # Behind STREAMINFO, which comes first and may be the last.
        first = 4 + 4 + int.from_bytes(data[5:8], "big")
        block = bytes((2 | data[4] & 0x80,)) + (4 + len(note)).to_bytes(3, "big") + b"seed" + note
        return data[:4] + bytes((data[4] & 0x7F,)) + data[5:first] + block + data[first:]
    padded = note + b"\x00" * (len(note) % 2)
    body = data[8:] + b"SEED" + struct.pack("<I", len(note)) + padded
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tune(luck: random.Random, rate: int, frames: int) -> npt.NDArray[np.float32]:
    """So many samples of one voice, each between -1 and 1."""
    notes = [_note(luck, rate) for _ in range(int(frames / rate / _NOTE_S) + 1)]
    return np.concatenate(notes)[:frames]


def _note(luck: random.Random, rate: int) -> npt.NDArray[np.float32]:
    pitch = 220 * 2 ** ((luck.choice(_SCALE) + 12 * luck.randrange(2)) / 12)
    times = np.arange(round(_NOTE_S * rate), dtype=np.float32) / rate
    tone = 0.25 * np.sin(2 * np.pi * pitch * times) + 0.15 * np.sin(2 * np.pi * pitch / 4 * times)
    # Without it each note begins and ends with a click.
    fade = np.minimum(1, np.minimum(times, times[-1] - times) / _FADE_S)
    return np.asarray(tone * fade, dtype=np.float32)
