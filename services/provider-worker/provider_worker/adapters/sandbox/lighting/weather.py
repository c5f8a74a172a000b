"""Which sky is meant: the sun's height, the colours of air and ground, how many clouds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb, mixed, palette_of, parse, tinted
from provider_worker.adapters.sandbox.wording import colours_in, meant, subject_of


@dataclass(frozen=True, slots=True)
class Weather:
    """A sky in linear light, where 1.0 is what a screen shows as white.

    `sun_height` in degrees above the horizon; `sun` is its irradiance, which is what lights a scene. `cover` is the
    share of the sky that clouds take, `hills` how high they stand, in degrees.
    """

    zenith: Array
    horizon: Array
    glow: Array
    sun: Array
    ground: Array
    sun_height: float
    cover: float
    hills: float
    stars: bool = False


@dataclass(frozen=True, slots=True)
class _Hour:
    """Colours of the zenith, the horizon, the glow around the sun, the sun and the ground, and how bright they are."""

    colours: tuple[str, str, str, str, str]
    height: tuple[float, float]
    cover: tuple[float, float]
    air: float
    sun: float
    stars: bool = False


_NOON = _Hour(("#2B6CC4", "#B9D9F2", "#FFF3D6", "#FFF4E0", "#6F7B52"), (42, 62), (0.15, 0.5), 0.9, 4.5)
_MORNING = _Hour(("#4B86CE", "#F6DEC4", "#FFD9A0", "#FFDDB0", "#77805A"), (14, 26), (0.2, 0.5), 0.75, 3.5)
_SUNSET = _Hour(("#2C3E78", "#F39A5B", "#FFB057", "#FFA552", "#3E3A3C"), (4, 9), (0.3, 0.6), 0.65, 2.6)
_DUSK = _Hour(("#141D4F", "#C86B85", "#F2A07B", "#FF9A6B", "#23243A"), (2, 4), (0.2, 0.5), 0.4, 1.6, stars=True)
_NIGHT = _Hour(("#060B22", "#1F315F", "#5C77B5", "#C9DBFF", "#0D1222"), (30, 50), (0.1, 0.45), 0.12, 0.6, stars=True)
_OVERCAST = _Hour(("#8E9AA8", "#C9D0D6", "#E6E4DC", "#F4EFE6", "#5C6158"), (35, 55), (0.8, 0.95), 0.8, 1.9)
_STORM = _Hour(("#323B4A", "#76808C", "#B5AFA0", "#EFE3C8", "#33382F"), (18, 30), (0.75, 0.9), 0.45, 1.2)
_ALIEN = _Hour(("#2A1458", "#E0569B", "#FFC1A0", "#FFE0C2", "#2E1B3B"), (12, 24), (0.2, 0.5), 0.7, 3.0, stars=True)

_HOURS: Mapping[str, _Hour] = {
    **dict.fromkeys(("noon", "midday", "day", "summer", "sunny", "sea", "beach", "meadow", "tropical"), _NOON),
    **dict.fromkeys(("morning", "dawn", "sunrise", "spring"), _MORNING),
    **dict.fromkeys(("sunset", "evening", "golden", "autumn", "savanna"), _SUNSET),
    **dict.fromkeys(("dusk", "twilight"), _DUSK),
    **dict.fromkeys(("night", "midnight", "moon", "moonlit", "star", "starry", "space", "galaxy"), _NIGHT),
    **dict.fromkeys(("overcast", "cloudy", "clouds", "fog", "foggy", "misty", "winter", "studio"), _OVERCAST),
    **dict.fromkeys(("storm", "stormy", "thunder", "rain", "rainy"), _STORM),
    **dict.fromkeys(("alien", "fantasy", "magic", "dream", "neon", "synthwave"), _ALIEN),
}
_BY_CHANCE = (_NOON, _MORNING, _SUNSET, _SUNSET, _DUSK, _NIGHT, _OVERCAST, _ALIEN)
_GROUNDS = {
    **dict.fromkeys(("desert", "dune", "sand", "beach", "canyon"), "#B08A58"),
    **dict.fromkeys(("sea", "ocean", "lake", "harbour", "water"), "#1F4E66"),
    **dict.fromkeys(("snow", "winter", "arctic", "ice", "glacier"), "#C9D4DE"),
    **dict.fromkeys(("meadow", "forest", "field", "park", "jungle"), "#4C6B36"),
    **dict.fromkeys(("city", "studio", "street", "arena", "road"), "#4A4D52"),
}
_HIGH = {
    **dict.fromkeys(("mountain", "alps", "canyon", "hill", "valley", "peak", "glacier"), 11.0),
    **dict.fromkeys(("sea", "ocean", "desert", "beach", "lake", "space"), 0.6),
}
_ABOVE_HILLS = 1.7
"""A sun behind a mountain would leave nothing that lights a scene."""
_CLEAR = dict.fromkeys(("clear", "cloudless"), 0.0)


def weather_of(words: str, palette: tuple[Rgb, ...], random: Random) -> Weather:
    """The sky that words mean, tinted with a brand's colours where it has some; chance decides the rest."""
    said = subject_of(words)
    by_chance = random.choice(_BY_CHANCE)
    hour = meant(said, _HOURS) or by_chance
    zenith, horizon, glow, sun, ground = (parse(colour) for colour in hour.colours)
    ground = parse(meant(said, _GROUNDS) or hour.colours[4])
    brand = palette or colours_in(said)
    if brand:
        voices = palette_of(brand, random).voices
        zenith, horizon = mixed(zenith, voices[0], 0.65), mixed(horizon, tinted(voices[1], 0.08), 0.65)
        glow = mixed(glow, voices[1], 0.35)
    cover = meant(said, _CLEAR)
    known = meant(said, _HIGH)
    hills = random.uniform(1.5, 5.0) if known is None else known
    return Weather(
        zenith=linear(zenith) * np.float32(hour.air),
        horizon=linear(horizon) * np.float32(hour.air),
        glow=linear(glow) * np.float32(hour.air),
        sun=linear(sun) * np.float32(hour.sun),
        ground=linear(ground) * np.float32(hour.air * 0.55),
        sun_height=max(random.uniform(*hour.height), hills * _ABOVE_HILLS),
        cover=random.uniform(*hour.cover) if cover is None else cover,
        hills=hills,
        stars=hour.stars,
    )


def linear(colour: Rgb) -> Array:
    """The light of a colour on a screen."""
    share = np.asarray(colour, dtype=np.float32) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(light, dtype=np.float32)
