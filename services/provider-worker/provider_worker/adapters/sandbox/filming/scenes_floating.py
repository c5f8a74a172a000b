"""Scenes of things that float: glossy spheres, and lights out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, Point, blend, smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb, lightness, mixed, tinted, to_lab, to_rgb
from provider_worker.adapters.sandbox.filming.scenes_flowing import Moving


@dataclass(frozen=True, slots=True)
class _Path:
    """An ellipse around a home, in pixels, once round in a turn. It is nearly a circle: a loop has no slower moment."""

    home: Point
    reach: Point
    way: int
    start: float

    def at(self, moment: float) -> Point:
        angle = self.way * math.tau * moment + self.start
        return self.home[0] + self.reach[0] * math.cos(angle), self.home[1] + self.reach[1] * math.sin(angle)


def _path(random: Random, home: Point, reach: float) -> _Path:
    reaches = reach * random.uniform(0.7, 1.0), reach * random.uniform(0.7, 1.0)
    return _Path(home, reaches, random.choice((-1, 1)), random.uniform(0, math.tau))


@dataclass(frozen=True, slots=True)
class _Sprite:
    """A picture with its mask, and one transparent pixel around it."""

    picture: Picture
    mask: Picture

    def onto(self, picture: Picture, centre: Point, strength: float = 1.0) -> None:
        """Between pixels too: what moves slowly would jump from one to the next."""
        left, top = centre[0] - self.picture.width / 2, centre[1] - self.picture.height / 2
        x, y = math.floor(left), math.floor(top)
        size = self.picture.width - 1, self.picture.height - 1
        box = (1 - (left - x), 1 - (top - y), 1 - (left - x) + size[0], 1 - (top - y) + size[1])
        mask = self.mask.resize(size, Image.Resampling.BILINEAR, box)
        if strength < 1:
            mask = mask.point([round(value * strength) for value in range(256)])
        picture.paste(self.picture.resize(size, Image.Resampling.BILINEAR, box), (x + 1, y + 1), mask)


def orbs(canvas: Canvas) -> Moving:
    """Glossy spheres that hover in soft light, the smaller ones further away."""
    random, voices, palette = canvas.random, canvas.palette.voices, canvas.palette
    light = random.random() < 0.4
    near = palette.paper if light else mixed(palette.deep, voices[0], 0.4)
    far = mixed(palette.paper, voices[0], 0.35) if light else palette.deep
    ground = canvas.scaled_up(blend(near, far, smooth(canvas.focus_distance() / 1.25)))
    fx, fy = canvas.focus_px
    balls: list[tuple[_Sprite, _Path]] = []
    for number, share in enumerate((0.05, 0.035, 0.075, 0.12, 0.17, random.uniform(0.25, 0.3))):
        largest = number == 5
        angle = random.uniform(0, math.tau)
        off = 0.0 if largest else canvas.short * random.uniform(0.3, 0.48)
        home = fx + math.cos(angle) * off, fy + math.sin(angle) * off
        radius = min(canvas.short * share, canvas.room(*home) * (0.95 if largest else 2.0))
        if radius >= 2:
            colour = voices[0] if largest else voices[(number + 1) % len(voices)]
            reach = canvas.short * (0.05 if largest else 0.14)
            balls.append((_ball(radius, colour), _path(random, home, reach)))

    def at(moment: float) -> Picture:
        picture = ground.copy()
        for sprite, path in balls:
            sprite.onto(picture, path.at(moment))
        return picture

    return at


def lights(canvas: Canvas) -> Moving:
    """Lights of a city out of focus, that drift and breathe."""
    random, voices, deep = canvas.random, canvas.palette.voices, canvas.palette.deep
    small = Canvas(
        max(2, canvas.width // 2), max(2, canvas.height // 2), canvas.palette, random, canvas.focus, _halved(canvas)
    )
    ground = small.scaled_up(blend(mixed(voices[0], deep, 0.12), deep, smooth(small.focus_distance() / 1.35)))
    fx, fy = small.focus_px
    lamps: list[tuple[_Sprite, _Path, float, float]] = []
    for share, count in ((0.2, 7), (0.12, 11), (0.06, 14)):
        for _ in range(count):
            home = random.gauss(fx, small.long * 0.3), random.gauss(fy, small.long * 0.22)
            radius = max(2.0, small.short * share * random.uniform(0.6, 1.0))
            strength = random.uniform(0.4, 0.95) * (0.3 if small.room(*home) < radius * 1.5 else 1.0)
            path = _path(random, home, small.short * 0.13)
            lamps.append((_lamp(radius, random.choice(voices[:3])), path, strength, random.uniform(0, math.tau)))

    def at(moment: float) -> Picture:
        picture = ground.copy()
        for sprite, path, strength, start in lamps:
            breath = 0.75 + 0.25 * math.sin(math.tau * moment + start)
            sprite.onto(picture, path.at(moment), strength * breath)
        return picture

    return at


def _halved(canvas: Canvas) -> tuple[float, float, float, float] | None:
    if canvas.words is None:
        return None
    left, top, right, bottom = canvas.words
    return left / 2, top / 2, right / 2, bottom / 2


def _ball(radius: float, colour: Rgb) -> _Sprite:
    """A ball lit from the upper left: dark below, light reflected at its lower edge."""
    across, down, distance = _disc(radius)
    lab = np.broadcast_to(to_lab(colour), (*distance.shape, 3)).copy()
    lit = np.hypot(across + 0.38, down + 0.42)
    rim = smooth((distance - 0.8) / 0.25) * smooth((across + down + 0.1) / 1.2)
    dark = (0.3 * lightness(colour) + 0.06) * smooth((lit - 0.55) / 1.1)
    lab[..., 0] += 0.16 * smooth(1 - lit / 0.75) - dark + 0.14 * rim
    gleam = smooth(1 - np.hypot((across + 0.4) / 0.3, (down + 0.47) / 0.2))[..., None] * 0.85
    white = np.array([0.99, 0, 0], dtype=np.float32)
    return _sprite(to_rgb(lab * (1 - gleam) + white * gleam), np.clip((1 - distance) * radius + 0.5, 0, 1))


def _lamp(radius: float, colour: Rgb) -> _Sprite:
    """A blurred lamp: even inside, with a brighter rim."""
    _, _, distance = _disc(radius)
    lab = np.broadcast_to(to_lab(tinted(colour, 0.08)), (*distance.shape, 3)).copy()
    share = np.clip((1 - distance) * radius / 2.5, 0, 1) * (0.55 + 0.45 * np.clip(distance, 0, 1) ** 5)
    return _sprite(to_rgb(lab), share)


def _disc(radius: float) -> tuple[Array, Array, Array]:
    """x, y and distance from the middle in radii, for a square that holds the disc and a pixel around it."""
    size = math.ceil(radius * 2) + 4
    axis = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / np.float32(radius)
    across, down = np.meshgrid(axis, axis)
    return across, down, np.hypot(across, down)


def _sprite(pixels: npt.NDArray[np.uint8], share: Array) -> _Sprite:
    mask = Image.fromarray(np.rint(share * 255).astype(np.uint8), "L")
    return _Sprite(Image.fromarray(pixels, "RGB"), mask)
