"""The soft sound under a film."""

from __future__ import annotations

import numpy as np

from provider_worker.adapters.sandbox.sounding.desk import Desk
from provider_worker.adapters.sandbox.sounding.loudness import amplified, loudest
from provider_worker.adapters.sandbox.sounding.waves import Wave, chance_of, ending, struck, tone

_LOUDEST_LUFS = -23.0
_ROOM = 0.6
_CHORDS = ((0, 7, 12, 16), (0, 7, 14, 16), (0, 7, 12, 15), (0, 5, 12, 17))
_SCALES = ((0, 2, 4, 7, 9), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 5, 7, 9))
_SOFT = (1.0, 0.3, 0.12, 0.05)
_GLASS = ((1.0, 1.0, 0.5), (2.76, 0.15, 0.25))
_DROPS_A_SECOND = 1.5


def ambience(seed: int, frames: int, *, loop: bool) -> Wave:
    """So many samples of a chord that breathes, and a few drops of glass; in a loop its end meets its start."""
    desk = Desk(frames, loop, chance_of("ambience", seed))
    kind = int(desk.chance.integers(len(_CHORDS)))
    root = desk.around(105, 160)
    share = np.arange(frames, dtype=np.float32) / np.float32(frames)
    for number, half_tones in enumerate(_CHORDS[kind]):
        breaths = max(1, round(desk.seconds / desk.around(4, 7)))
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * (breaths * share + desk.around(0, 1)))
        voice = tone(root * 2 ** (half_tones / 12), frames, _SOFT) * swell.astype(np.float32)
        desk.add(voice, 0.0, 0.3, 0.8 * (number / 1.5 - 1))
    drops = max(1, round(_DROPS_A_SECOND * desk.seconds))
    for number in range(drops):
        if desk.chance.random() < 0.7:
            pitch = root * 2 ** (int(desk.chance.choice(_SCALES[kind])) / 12) * int(desk.chance.choice((4, 4, 8)))
            at = desk.seconds * number / drops
            desk.add(struck(pitch, 2.0, _GLASS), at, desk.around(0.1, 0.25), desk.around(-0.6, 0.6))
    mix = desk.in_a_room(_ROOM)
    if not loop:
        mix = mix * (ending(frames, 0.8) * ending(frames, 0.3)[::-1])[:, None]
    return amplified(mix, _LOUDEST_LUFS - loudest(mix))
