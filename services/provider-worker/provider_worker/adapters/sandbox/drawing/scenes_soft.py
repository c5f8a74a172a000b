"""Scenes of light: no line in them is sharp, or few are."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, Point, blend, pasted, screened, smooth
from provider_worker.adapters.sandbox.drawing.colours import (
    Array,
    Rgb,
    changed,
    lightness,
    mixed,
    tinted,
    to_lab,
    to_rgb,
)


def aurora(canvas: Canvas) -> Picture:
    """Silk in the brand's colours: a handful of colour points that run into each other over warped ground."""
    x, y = canvas.grid()
    bend = canvas.waves(3, 2.6) * 0.22
    x, y = x + bend, y + canvas.waves(3, 2.2) * 0.2
    fx, fy = (value / canvas.short for value in canvas.focus_px)
    wide, tall = canvas.width / canvas.short, canvas.height / canvas.short
    voices, deep = canvas.palette.voices, canvas.palette.deep
    colours = [voices[0], voices[1], voices[0], voices[-1], deep, deep]
    far_x = wide * (1.0 - canvas.focus[0]) ** 2
    far_y = tall * (1.08 if canvas.focus[1] < 0.5 else -0.08)
    random = canvas.random
    points = [
        (fx, fy),
        (fx + random.uniform(-0.12, 0.12) * wide, tall * (0.12 if fy > tall / 2 else 0.88)),
        *((fx + random.uniform(-0.45, 0.45) * wide, fy + random.uniform(-0.6, 0.6) * tall) for _ in colours[2:4]),
        (far_x, tall * random.uniform(0.3, 0.7)),
        (far_x + random.uniform(-0.1, 0.4) * wide, far_y),
    ]
    total = np.zeros((*x.shape, 3), dtype=np.float32)
    weights = np.zeros_like(x)
    for colour, (at_x, at_y) in zip(colours, points, strict=True):
        weight = 1 / (((x - at_x) ** 2 + (y - at_y) ** 2) / 0.16 + 0.1) ** 2.6
        total += to_lab(colour) * weight[..., None]
        weights += weight
    lab = total / weights[..., None]
    lab[..., 0] += 0.045 * np.sin(bend * 24 + (x - y) * 2.2)
    return canvas.scaled_up(lab)


def bokeh(canvas: Canvas) -> Picture:
    """Lights of a city out of focus."""
    deep = canvas.palette.deep
    picture = canvas.scaled_up(blend(canvas.palette.voices[0], deep, smooth(canvas.focus_distance() / 1.15 + 0.12)))
    spread = canvas.long * 0.42
    fx, fy = canvas.focus_px
    for layer, count in ((0.26, 7), (0.15, 12), (0.07, 18)):
        light = Image.new("RGB", (max(1, canvas.width // 2), max(1, canvas.height // 2)))
        for _ in range(count):
            colour = canvas.random.choice(canvas.palette.voices[:3])
            radius = canvas.short * layer * canvas.random.uniform(0.55, 1.0) / 2
            x, y = canvas.random.gauss(fx, spread), canvas.random.gauss(fy, spread * 0.7)
            strength = canvas.random.uniform(0.25, 0.75)
            if canvas.room(x, y) < radius * 2:
                strength *= 0.22
            _disc_of_light(light, (x / 2, y / 2), radius, colour, strength)
        picture = screened(picture, light.resize(picture.size, Image.Resampling.BICUBIC))
    for number, colour in enumerate(canvas.palette.voices[:3]):
        x, y = _near_focus(canvas, 0.3, number)
        radius = min(canvas.short * canvas.random.uniform(0.1, 0.14), canvas.room(x, y))
        lamp = canvas.gradient(tinted(colour, 0.12), tinted(colour, -0.12))
        pasted(picture, lamp, canvas.disc_mask(x, y, radius).point(_faded))
    return picture


def _faded(value: int) -> int:
    return value * 7 // 8


def _near_focus(canvas: Canvas, reach: float, number: int) -> Point:
    """A point `reach` short edges around the focus, with as much free ground about it as there is."""
    fx, fy = canvas.focus_px
    turn = canvas.random.uniform(0, math.tau)

    def at(angle: float) -> Point:
        return fx + math.cos(angle) * canvas.short * reach, fy + math.sin(angle) * canvas.short * reach

    def freedom(point: Point) -> float:
        x, y = point
        return min(canvas.room(x, y), x, y, canvas.width - x, canvas.height - y)

    candidates = [at(turn + step * math.tau / 9 + number * 2.1) for step in range(4)]
    return max(candidates, key=freedom)


def _disc_of_light(light: Picture, at: tuple[float, float], radius: float, colour: Rgb, strength: float) -> None:
    """One blurred lamp: even inside, a brighter rim, added to what is there."""
    size = max(2, round(radius * 2))
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    distance = np.hypot(axis[None, :], axis[:, None])
    edge = np.clip((1 - distance) * max(radius, 2) / 2.2, 0, 1)
    share = edge * (0.55 + 0.45 * np.clip(distance, 0, 1) ** 5) * strength
    box = (round(at[0] - radius), round(at[1] - radius))
    lamp = Image.fromarray(np.rint(share * 255).astype(np.uint8), "L")
    behind = light.crop((*box, box[0] + size, box[1] + size))
    glowing = Image.composite(Image.new("RGB", (size, size), colour), Image.new("RGB", (size, size)), lamp)
    light.paste(screened(behind, glowing), box)


def orbs(canvas: Canvas) -> Picture:
    """Glossy spheres in soft studio light."""
    voices = canvas.palette.voices
    light_ground = canvas.random.random() < 0.5
    near, far = (
        (canvas.palette.paper, mixed(canvas.palette.paper, voices[0], 0.3))
        if light_ground
        else (mixed(canvas.palette.deep, voices[0], 0.35), canvas.palette.deep)
    )
    picture = canvas.scaled_up(blend(near, far, smooth(canvas.focus_distance() / 1.25)))
    fx, fy = canvas.focus_px
    size = canvas.short
    balls = [(fx, fy, size * canvas.random.uniform(0.25, 0.32), voices[0])]
    for number, radius in enumerate((0.17, 0.1, 0.06, 0.035)):
        x, y = _near_focus(canvas, (0.38 + 0.06 * number) * canvas.random.uniform(0.95, 1.15), number)
        balls.append((x, y, size * radius, voices[(number + 1) % len(voices)]))
    for x, y, radius, colour in sorted(balls, key=lambda ball: ball[2]):
        free = min(radius, canvas.room(x, y) * 0.82)
        if free > size * 0.02:
            _shadow(canvas, picture, (x, y), free, 0.16 if light_ground else 0.34)
            _ball(picture, (x, y), free, colour)
    return picture


def _shadow(canvas: Canvas, picture: Picture, at: Point, radius: float, strength: float) -> None:
    across, down = canvas.grid()
    at_x, at_y, size = at[0] / canvas.short, (at[1] + radius * 0.42) / canvas.short, radius * 1.45 / canvas.short
    share = smooth(1 - np.hypot(across - at_x, down - at_y) / size) * strength
    pasted(picture, changed(canvas.palette.deep, lightness=0.12), canvas.soft_mask(share))


def _ball(picture: Picture, at: Point, radius: float, colour: Rgb) -> None:
    size = max(3, round(radius * 2))
    small = min(size, 160)
    axis = (np.arange(small, dtype=np.float32) + 0.5) / small * 2 - 1
    across, down = np.meshgrid(axis, axis)
    shaded = _shaded(across, down, colour)
    ball = Image.fromarray(shaded, "RGB").resize((size, size), Image.Resampling.BICUBIC)
    mask = Image.new("L", (size * 2, size * 2))
    ImageDraw.Draw(mask).ellipse((1, 1, size * 2 - 2, size * 2 - 2), fill=255)
    picture.paste(ball, (round(at[0] - radius), round(at[1] - radius)), mask.reduce(2))


def _shaded(across: Array, down: Array, colour: Rgb) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A ball lit from the upper left: its own colour in the middle, dark below, light reflected at the lower edge."""
    lab = np.broadcast_to(to_lab(colour), (*across.shape, 3)).copy()
    lit = np.hypot(across + 0.38, down + 0.42)
    depth = smooth((lit - 0.55) / 1.1)
    rim = smooth((np.hypot(across, down) - 0.8) / 0.25) * smooth((across + down + 0.1) / 1.2)
    lab[..., 0] += 0.16 * smooth(1 - lit / 0.75) - (0.3 * lightness(colour) + 0.06) * depth + 0.14 * rim
    gleam = smooth(1 - np.hypot((across + 0.4) / 0.3, (down + 0.47) / 0.2))[..., None] * 0.85
    white = np.array([0.99, 0, 0], dtype=np.float32)
    return to_rgb(lab * (1 - gleam) + white * gleam)
