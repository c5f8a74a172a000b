"""Every wire the simulator speaks. A new one is a module here and a name in `WIRES`."""

from __future__ import annotations

from simulator.wire import Wire
from simulator.wires import (
    elevenlabs,
    fal,
    gemini_image,
    gemini_interactions,
    meshy,
    nanobanana,
    openai_images,
    replicate,
    sunoapi,
    veo,
)

WIRES: tuple[Wire, ...] = (
    openai_images.WIRE,
    # Its addresses are held by the pictures' wire, too, which takes every model and every action: first come first.
    veo.WIRE,
    gemini_image.WIRE,
    gemini_interactions.WIRE,
    nanobanana.WIRE,
    fal.WIRE,
    elevenlabs.WIRE,
    replicate.WIRE,
    sunoapi.WIRE,
    meshy.WIRE,
)
