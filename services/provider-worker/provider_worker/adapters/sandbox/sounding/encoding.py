"""A mix as a file."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import soundfile

from media.ogg_marks import ogg_as_stream
from provider_worker.adapters.sandbox.sounding.waves import RATE, Wave

SoundFormat = Literal["wav", "mp3", "ogg", "flac"]

_CODECS: dict[SoundFormat, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "flac": ("FLAC", "PCM_16"),
}
# libsndfile keeps a whole call's worth of Vorbis on the stack.
_BLOCK = 1 << 16


def encoded(mix: Wave, sound_format: SoundFormat) -> bytes:
    """Exactly the samples of the mix, in a file; the same mix always gives the same bytes."""
    container, codec = _CODECS[sound_format]
    out = BytesIO()
    with soundfile.SoundFile(out, "w", RATE, 2, format=container, subtype=codec) as file:
        for start in range(0, len(mix), _BLOCK):
            file.write(np.ascontiguousarray(mix[start : start + _BLOCK]))
    return ogg_as_stream(out.getvalue(), 1) if sound_format == "ogg" else out.getvalue()
