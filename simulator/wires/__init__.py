"""Every wire the simulator speaks. A new one is a module here and a name in `WIRES`."""

from __future__ import annotations

from simulator.wire import Wire
from simulator.wires import elevenlabs, fal, gemini_image, meshy, nanobanana, openai_images, replicate, sunoapi

WIRES: tuple[Wire, ...] = (
    openai_images.WIRE,
    gemini_image.WIRE,
    nanobanana.WIRE,
    fal.WIRE,
    elevenlabs.WIRE,
    replicate.WIRE,
    sunoapi.WIRE,
    meshy.WIRE,
)
