"""Drums: what each kit is made of, and one hit of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from provider_worker.adapters.sandbox.sounding.waves import (
    Wave,
    chance_of,
    decay,
    noise,
    samples,
    times,
    tone,
)

Drum = Literal["kick", "snare", "hat", "open", "clap", "ride", "rim", "tom", "crash", "shaker"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A skin that falls from one pitch to another (Hz) and a rattle between two (Hz), each with its level and length.

    Lengths are seconds to 37 %. `claps` is how many hands a clap has.
    """

    level: float = 1.0
    pitch: tuple[float, float] = (0.0, 0.0)
    skin: float = 0.0
    skin_s: float = 0.1
    band: tuple[float, float] = (0.0, 0.0)
    rattle: float = 0.0
    rattle_s: float = 0.05
    claps: int = 1


Kit = dict[Drum, Hit]

_HATS: Kit = {
    "hat": Hit(0.32, band=(7_000, 14_000), rattle=1.0, rattle_s=0.022),
    "open": Hit(0.3, band=(6_500, 14_000), rattle=1.0, rattle_s=0.13),
    "crash": Hit(0.5, band=(3_500, 13_000), rattle=1.0, rattle_s=0.55),
    "ride": Hit(0.3, pitch=(4_100, 4_050), skin=0.12, skin_s=0.12, band=(5_000, 12_000), rattle=0.8, rattle_s=0.16),
    "shaker": Hit(0.22, band=(5_000, 11_000), rattle=1.0, rattle_s=0.03),
    "clap": Hit(0.7, band=(900, 4_500), rattle=1.0, rattle_s=0.07, claps=3),
}

KITS: dict[str, Kit] = {
    "machine": {
        **_HATS,
        "kick": Hit(1.15, (160, 46), 1.0, 0.16, (2_000, 6_000), 0.12, 0.006),
        "snare": Hit(0.75, (210, 170), 0.5, 0.06, (1_500, 8_000), 0.9, 0.09),
        "rim": Hit(0.5, (900, 880), 0.8, 0.02, (2_000, 7_000), 0.4, 0.01),
        "tom": Hit(0.7, (180, 90), 1.0, 0.14),
    },
    "studio": {
        **_HATS,
        "kick": Hit(1.1, (110, 52), 1.0, 0.09, (1_500, 5_000), 0.3, 0.01),
        "snare": Hit(0.95, (230, 185), 0.6, 0.07, (1_200, 9_000), 1.0, 0.12),
        "rim": Hit(0.45, (520, 500), 0.8, 0.02, (1_500, 5_000), 0.4, 0.012),
        "tom": Hit(0.8, (150, 95), 1.0, 0.2, (800, 3_000), 0.15, 0.02),
    },
    "brushes": {
        **_HATS,
        "kick": Hit(0.5, (90, 58), 1.0, 0.08),
        "snare": Hit(0.34, band=(1_500, 7_000), rattle=1.0, rattle_s=0.09),
        "rim": Hit(0.3, (620, 600), 0.9, 0.02, (1_500, 4_000), 0.3, 0.01),
        "tom": Hit(0.4, (140, 100), 1.0, 0.15),
    },
    "heavy": {
        **_HATS,
        "kick": Hit(1.25, (130, 40), 1.0, 0.26, (1_500, 4_500), 0.2, 0.007),
        "snare": Hit(0.95, (200, 165), 0.55, 0.07, (1_000, 7_000), 1.0, 0.11),
        "rim": Hit(0.4, (760, 740), 0.8, 0.02, (2_000, 6_000), 0.4, 0.01),
        "tom": Hit(0.7, (140, 70), 1.0, 0.2),
    },
    "orchestra": {
        **_HATS,
        "kick": Hit(0.9, (92, 82), 1.0, 0.5, (300, 1_200), 0.1, 0.02),
        "snare": Hit(0.3, (190, 180), 0.3, 0.05, (2_000, 8_000), 0.8, 0.06),
        "rim": Hit(0.2, (1_900, 1_880), 0.6, 0.3),
        "tom": Hit(0.9, (78, 70), 1.0, 0.6, (200, 900), 0.1, 0.03),
    },
}
_LEAST_HEARD = 5.0


@lru_cache(maxsize=64)
def hit(kit: str, drum: Drum) -> Wave:
    """One hit, the same for left and right; whoever mixes it must not change it."""
    made = KITS[kit][drum]
    frames = samples(_LEAST_HEARD * max(made.skin_s if made.skin else 0, made.rattle_s if made.rattle else 0))
    wave = np.zeros(frames, dtype=np.float32)
    if made.skin:
        start, end = made.pitch
        fall = end * (start / end) ** np.exp(-times(frames) / np.float32(0.035))
        wave += tone(fall.astype(np.float32), frames) * made.skin * decay(frames, made.skin_s, 0.0015)
    if made.rattle:
        hiss = noise(chance_of(kit, drum), frames, *made.band) * made.rattle
        for number in range(made.claps):
            late = samples(0.011 * number) if number else 0
            wave[late:] += hiss[late:] * decay(frames - late, made.rattle_s, 0.0008) / made.claps**0.5
    return wave * np.float32(made.level)
