"""Real media bytes, the same for the same output: a module for each kind, a table that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simulator.generation import Output
from simulator.media import images, models, sounds, videos

# Takes the output's MIME type, its seed and its parameters.
Maker = Callable[[str, int, Mapping[str, Any]], bytes]

MAKERS: Mapping[str, Maker] = {
    "image": images.drawn,
    "stamped_image": images.plain,
    "sound": sounds.played,
    "model": models.built,
    "video": videos.filmed,
}


def made(output: Output) -> bytes:
    """The file that an output stands for. Heavy work: run it away from the event loop."""
    return MAKERS[output.kind](output.mime, output.seed, output.params)


__all__ = ["MAKERS", "Maker", "made"]
