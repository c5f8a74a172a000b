"""How loud a sound is (EBU R 128), and the gain that makes it as loud as is wanted."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.filter import Graph

from media.waves import Wave

_BLOCK_S = 1
_GATE_LUFS = -69.9
"""Below it nothing was measured: the sound is shorter than the 0.4 s of one block, or too quiet for any."""
_CLOSE_LU = 1.0
_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness in LUFS and the true peak in dBTP."""

    integrated: float
    true_peak: float


def measured(wave: Wave, rate: int) -> Loudness | None:
    """By FFmpeg's ebur128; None where the sound is too short or too quiet for a measure."""
    graph = Graph()
    graph.threads = 1
    layout = _LAYOUTS.get(wave.shape[1], f"{wave.shape[1]}c")
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout=layout, time_base=None)
    meter = graph.add("ebur128", metadata="1", peak="true")
    graph.link_nodes(source, meter, graph.add("abuffersink")).configure()
    found: dict[str, str] = {}
    for at in range(0, len(wave), rate * _BLOCK_S):
        part = np.ascontiguousarray(wave[at : at + rate * _BLOCK_S])
        frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, at
        graph.push(frame)
        found = _last_words(graph) or found
    graph.push(None)
    found = _last_words(graph) or found
    return _read(found, wave.shape[1])


def _last_words(graph: Graph) -> dict[str, str]:
    found: dict[str, str] = {}
    while True:
        try:
            found = graph.pull().metadata
        except (NothingYet, EOFError):
            return found


def _read(found: dict[str, str], channels: int) -> Loudness | None:
    integrated = float(found.get("lavfi.r128.I", "-inf"))
    if not integrated > _GATE_LUFS:
        return None
    peak = max(float(found[f"lavfi.r128.true_peaks_ch{channel}"]) for channel in range(channels))
    return Loudness(integrated, 20 * float(np.log10(max(peak, 1e-6))))


def levelled(wave: Wave, rate: int, lufs: float, most_peak: float) -> Wave:
    """The same wave where it is within 1 LU of `lufs` or cannot be measured; else louder or quieter by one gain.

    The gain is less than it takes where the true peak would pass `most_peak` dBTP.
    """
    found = measured(wave, rate)
    if found is None or abs(found.integrated - lufs) <= _CLOSE_LU:
        return wave
    gain = min(lufs - found.integrated, most_peak - found.true_peak)
    return np.asarray(wave * np.float32(10 ** (gain / 20)), np.float32)
