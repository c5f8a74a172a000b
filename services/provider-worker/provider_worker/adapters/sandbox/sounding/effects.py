"""One sound effect from one brief."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from provider_worker.adapters.sandbox.sounding.desk import Desk
from provider_worker.adapters.sandbox.sounding.effect_recipes import RECIPES, Effect
from provider_worker.adapters.sandbox.sounding.encoding import SoundFormat, encoded
from provider_worker.adapters.sandbox.sounding.loudness import amplified, loudest
from provider_worker.adapters.sandbox.sounding.waves import Wave, chance_of, ending, samples

_LOUDEST_LUFS = -16.0
_PEAK = 0.75
_ROOM = 0.12
_START_S = 0.0005
_END_S = 0.012

# What else people call them.
_WORDS: Mapping[Effect, str] = {
    "click": "click tap button press switch key typing snap",
    "spin": "spin wheel roulette reel slot fortune ticking ratchet",
    "flip": "flip card page turn whoosh swoosh swipe deal",
    "scratch": "scratch scrape scrub rub sandpaper scribble",
    "match": "match ding bell chime coin notification correct pair collect",
    "win": "win victory fanfare jackpot triumph success champion trumpet",
    "lose": "lose fail failure defeat sad wrong trombone loss",
    "countdown": "countdown timer beep beeps seconds clock alarm",
    "reveal": "reveal riser curtain unveil drumroll suspense magic appear",
    "confetti": "confetti popper party celebration firework burst explosion sparkle",
}


@dataclass(frozen=True, slots=True)
class EffectBrief:
    """What to sound: exactly `duration_s`, to the sample at 48 kHz.

    Without an `effect` the `words` say which, or else they and the `seed` choose one. `loop`: the end meets the start.
    """

    duration_s: float
    seed: int
    effect: Effect | None = None
    words: str = ""
    loop: bool = False
    sound_format: SoundFormat = "wav"


def effect_sounded(brief: EffectBrief) -> bytes:
    """The encoded sound; the same brief always gives the same samples."""
    return encoded(_mixed(brief), brief.sound_format)


def effect_of(brief: EffectBrief) -> Effect:
    """The effect that a brief names, or that its words speak of first."""
    if brief.effect is not None:
        return brief.effect
    for word in re.findall(r"[a-z]+", brief.words.lower()):
        for effect, names in _WORDS.items():
            if word in names.split() or word.removesuffix("s") in names.split():
                return effect
    return list(RECIPES)[int(chance_of("effect", brief.seed, brief.words).integers(len(RECIPES)))]


def _mixed(brief: EffectBrief) -> Wave:
    effect = effect_of(brief)
    desk = Desk(samples(brief.duration_s), brief.loop, chance_of(effect, brief.seed, brief.words))
    RECIPES[effect](desk)
    mix = desk.in_a_room(_ROOM)
    if not brief.loop:
        mix = mix * (ending(len(mix), _END_S) * np.minimum(1, ending(len(mix), _START_S)[::-1]))[:, None]
    louder = amplified(mix, _LOUDEST_LUFS - loudest(mix))
    return louder * np.float32(min(1.0, _PEAK / float(np.abs(louder).max())))
