"""One environment map from one brief: light from all around, with a sun that throws shadows (R57)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from provider_worker.adapters.sandbox.drawing.canvas import smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb
from provider_worker.adapters.sandbox.lighting.encoding import exr, hdr
from provider_worker.adapters.sandbox.lighting.weather import Weather, weather_of
from provider_worker.adapters.sandbox.tiling.periodic import Torus

_SUN_RADIUS = math.radians(1.1)
_ROWS = 256
"""Computed at once: the largest map has eight million pixels."""
_CLOUD_EDGE = 1024
_CEILING = 0.075
"""How fast clouds come nearer above the horizon."""
_BRIGHTEST = 60_000.0
"""What half floats hold, nearly."""


@dataclass(frozen=True, slots=True)
class SkyBrief:
    """What to make: exactly `width` x `height` pixels, twice as wide as high, of the sky that `words` mean, tinted with
    the colours of `palette`; `seed` decides all that is left open. `format` is exr or hdr."""

    width: int
    height: int
    seed: int
    words: str = ""
    palette: tuple[Rgb, ...] = ()
    format: str = "exr"


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all rows of one map share: the weather, where the sun stands, clouds and hills."""

    weather: Weather
    sun: Array
    sun_radius: float
    clouds: Array
    ground: Array
    hills: tuple[Array, ...]


def lit(brief: SkyBrief) -> bytes:
    """The encoded environment map; the same brief always gives the same bytes."""
    light = sky_of(brief)
    return hdr(light) if brief.format == "hdr" else exr(light)


def sky_of(brief: SkyBrief) -> Array:
    """Linear light as height x width x 3: the middle is ahead, the top is up, left and right meet behind."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a picture needs no secrecy
    scene = _scene(weather_of(brief.words, brief.palette, random), brief, random)
    light = np.empty((brief.height, brief.width, 3), dtype=np.float32)
    around = ((np.arange(brief.width, dtype=np.float32) + 0.5) / brief.width - 0.5) * math.tau
    heights = (0.5 - (np.arange(brief.height, dtype=np.float32) + 0.5) / brief.height) * math.pi
    for start in range(0, brief.height, _ROWS):
        rows = slice(start, start + _ROWS)
        light[rows] = _seen(scene, around[None, :], heights[rows, None])
    return np.clip(light, 0, _BRIGHTEST)


def _scene(weather: Weather, brief: SkyBrief, random: Random) -> _Scene:
    turn, height = random.uniform(-1.2, 1.2), math.radians(weather.sun_height)
    sun = np.array(
        [math.sin(turn) * math.cos(height), math.sin(height), math.cos(turn) * math.cos(height)], dtype=np.float32
    )
    torus = Torus(_CLOUD_EDGE, _CLOUD_EDGE, random)
    clouds = torus.warped(torus.noise(7, 7), torus.noise(5, 3), 0.02)
    return _Scene(
        weather=weather,
        sun=sun,
        sun_radius=max(_SUN_RADIUS, math.tau / brief.width * 1.2),
        clouds=clouds / np.float32(np.std(clouds)),
        ground=torus.noise(24, 6),
        hills=tuple(_hill(brief.width, math.radians(weather.hills) * share, random) for share in (1.0, 0.62, 0.35)),
    )


def _hill(width: int, height: float, random: Random) -> Array:
    """Radians above the horizon all around, for each column."""
    around = (np.arange(width, dtype=np.float32) + 0.5) / width * math.tau
    line = np.zeros(width, dtype=np.float32)
    for waves in (3, 5, 8, 13, 21, 34, 55, 89):
        line += np.float32(1.6 / waves**0.85) * np.sin(around * waves + random.uniform(0, math.tau)).astype(np.float32)
    return np.asarray(np.clip(0.45 + line * 0.55, 0.05, None) * height, dtype=np.float32)


def _seen(scene: _Scene, around: Array, height: Array) -> Array:
    """The light that comes from so many directions."""
    level = np.cos(height)
    up = np.broadcast_to(np.sin(height), np.broadcast_shapes(around.shape, height.shape))
    right, ahead = np.sin(around) * level, np.cos(around) * level
    nearness = right * scene.sun[0] + up * scene.sun[1] + ahead * scene.sun[2]
    light = _air(scene, up, nearness)
    if float(height.max()) > 0:
        light = _with_stars(scene, light, around, height, up)
        light += _disc(scene, nearness)
        light = _with_clouds(scene, light, (right, up, ahead), nearness)
    light = _with_hills(scene, light, height)
    return _with_ground(scene, light, (right, up, ahead), nearness)


def _air(scene: _Scene, up: Array, nearness: Array) -> Array:
    weather = scene.weather
    share = np.clip(up, 0, 1)[..., None] ** np.float32(0.45)
    light = weather.horizon * (1 - share) + weather.zenith * share
    close = np.clip(nearness, 0, 1)[..., None]
    halo = 0.55 * close**6 * (1 - 0.6 * share) + 1.1 * close**48 + 2.2 * close**600
    found: Array = light + weather.glow * halo
    return found.astype(np.float32)


def _disc(scene: _Scene, nearness: Array) -> Array:
    """As much light as the sun has, on a disc that is a few pixels wide at least."""
    radius = scene.sun_radius
    away = np.arccos(np.clip(nearness, -1, 1))
    share = smooth((radius * 1.25 - away) / (radius * 0.5))[..., None]
    radiance = scene.weather.sun / np.float32(math.pi * radius**2)
    found: Array = share * radiance * np.float32(0.45 if scene.weather.cover > 0.7 else 1.0)
    return found.astype(np.float32)


def _with_stars(scene: _Scene, light: Array, around: Array, height: Array, up: Array) -> Array:
    if not scene.weather.stars:
        return light
    spots = scene.clouds.shape[0]
    row = (np.abs(height) * (spots / math.pi)).astype(np.intp)
    crowded = np.maximum(np.cos(height), 0.05)
    column = ((around / math.tau + 0.5) * np.round(spots * crowded)).astype(np.intp) % spots
    spark = (row * 7919 + column * 104_729 + row * column * 31) % 1009
    bright = np.where(spark == 0, 1.0, np.where(spark == 1, 0.45, np.where(spark < 5, 0.14, 0))).astype(np.float32)
    found: Array = light + (bright * smooth(up * 4) * smooth(crowded * 4 - 0.4))[..., None] * np.float32(0.9)
    return found


def _with_clouds(scene: _Scene, light: Array, towards: tuple[Array, Array, Array], nearness: Array) -> Array:
    """Clouds on a ceiling that bends down to the horizon, bright where they are thin towards the sun."""
    weather = scene.weather
    right, up, ahead = towards
    if weather.cover <= 0:
        return light
    far = 1 / (np.clip(up, 0, 1) + np.float32(_CEILING))
    x, z = right * far, ahead * far
    dense = _sampled(scene.clouds, x, z)
    beyond = _sampled(scene.clouds, x + scene.sun[0] * 0.35, z + scene.sun[2] * 0.35)
    edge = np.float32(1.5 - 2.7 * weather.cover)
    share = smooth((dense - edge) / 1.1) * smooth((up - 0.015) / 0.1)
    lit_share = np.clip(0.62 + 0.34 * (dense - beyond) - 0.12 * np.clip(dense - edge, 0, 2), 0.12, 1.15)[..., None]
    sunlit = weather.sun * np.float32(0.16) + weather.horizon * np.float32(0.55)
    shade = weather.zenith * np.float32(0.35) + weather.horizon * np.float32(0.25)
    silver = weather.glow * (np.clip(nearness, 0, 1) ** 24)[..., None] * np.float32(1.2)
    cloud = shade + (sunlit + silver) * lit_share
    covered = (share * np.float32(0.92))[..., None]
    # The sun burns through: else a cloud in front of it would leave nothing that throws a shadow.
    through = np.clip(light - 40, 0, None) * np.float32(0.6)
    found: Array = light * (1 - covered) + (cloud + through) * covered
    return found.astype(np.float32)


def _with_hills(scene: _Scene, light: Array, height: Array) -> Array:
    weather = scene.weather
    for number, line in enumerate(scene.hills):
        share = smooth((line[None, :] - height) / (math.pi / len(line)) + 0.5)[..., None]
        distance = np.float32(0.78 - 0.3 * number)
        tone = weather.horizon * distance * np.float32(0.7) + weather.ground * (1 - distance)
        light = light * (1 - share) + tone * share
    return light


def _with_ground(scene: _Scene, light: Array, towards: tuple[Array, Array, Array], nearness: Array) -> Array:
    right, up, ahead = towards
    if float(up.min()) >= 0:
        return light
    weather = scene.weather
    down = np.clip(-up, 0, 1)
    far = 1 / (down + np.float32(0.03))
    rough = _sampled(scene.ground, right * far * 0.6, ahead * far * 0.6) * smooth(down * 6)
    haze = np.exp(-down * 9)[..., None]
    gleam = (np.clip(nearness + 2 * scene.sun[1] * down, 0, 1) ** 12 * 0.25)[..., None]
    tone = weather.ground * (1 + rough[..., None] * np.float32(0.28)) * (1 + scene.sun[1])
    tone = tone * (1 - haze * 0.55) + weather.horizon * haze * np.float32(0.38) + weather.glow * gleam
    share = smooth(down * 120)[..., None]
    found: Array = light * (1 - share) + tone * share
    return found.astype(np.float32)


def _sampled(field: Array, x: Array, z: Array) -> Array:
    """A field without edges at places between its points."""
    size = field.shape[0]
    column, row = (x * (size / 14)) % size, (z * (size / 14)) % size
    left, top = np.floor(column).astype(np.int32), np.floor(row).astype(np.int32)
    share_x, share_y = column - left, row - top
    left, top = left % size, top % size
    right, bottom = (left + 1) % size, (top + 1) % size
    upper = field[top, left] * (1 - share_x) + field[top, right] * share_x
    lower = field[bottom, left] * (1 - share_x) + field[bottom, right] * share_x
    found: Array = upper * (1 - share_y) + lower * share_y
    return found.astype(np.float32)
