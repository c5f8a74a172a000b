"""Scenes of shapes: paper, stripes, tiles and lines with clean edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, blend, pasted, smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb, changed, lightness, mixed, tinted


def dunes(canvas: Canvas) -> Picture:
    """Hills behind hills under a low sun."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    x, y = canvas.grid()
    tall = canvas.height / canvas.short
    low = canvas.focus[1] > 0.6
    horizon = (0.64 if low else 0.5) * tall
    sky = blend(mixed(voices[0], deep, 0.45), tinted(voices[0], 0.22), smooth(y / horizon))
    picture = canvas.scaled_up(sky)
    radius = canvas.short * canvas.random.uniform(0.13, 0.18)
    sun_x, sun_y = canvas.focus_px[0], horizon * canvas.short - radius * canvas.random.uniform(0.5, 1.1)
    distance = np.hypot(x - sun_x / canvas.short, y - sun_y / canvas.short)
    pasted(picture, tinted(voices[1], 0.14), canvas.soft_mask(smooth(1 - distance / 0.62) * 0.7))
    pasted(picture, canvas.gradient(tinted(voices[1], 0.05), voices[1]), canvas.disc_mask(sun_x, sun_y, radius))
    layers = 6
    for number in range(layers):
        share = number / (layers - 1)
        base = horizon * canvas.short * 0.94 + canvas.height * (0.42 if not low else 0.32) * share**1.15
        near = mixed(voices[0], deep, share**1.2)
        crest = tinted(near, 0.1 * (1 - share) + 0.02)
        mask = canvas.polygon_mask(_hill(canvas, base, canvas.height * (0.035 + 0.05 * share)))
        pasted(picture, canvas.gradient(crest, near), mask)
    return picture


def _hill(canvas: Canvas, base: float, swing: float) -> list[tuple[float, float]]:
    phase = [canvas.random.uniform(0, math.tau) for _ in range(3)]
    length = canvas.random.uniform(0.8, 1.3) * max(canvas.short, canvas.long * 0.6)
    steps = 96
    line = []
    for step in range(steps + 1):
        x = canvas.width * step / steps
        turn = x / length * math.tau
        height = (
            math.sin(turn + phase[0]) + 0.45 * math.sin(turn * 2.1 + phase[1]) + 0.2 * math.sin(turn * 4.3 + phase[2])
        )
        line.append((x, base - swing * height))
    return [*line, (canvas.width, canvas.height), (0, canvas.height)]


def arcs(canvas: Canvas) -> Picture:
    """Bands of colour that bend around a corner, as on a record sleeve."""
    voices = canvas.palette.voices
    on_paper = canvas.random.random() < 0.6
    ground = canvas.palette.paper if on_paper else canvas.palette.deep
    picture = canvas.filled(canvas.gradient(ground, mixed(ground, voices[0], 0.1)))
    bands = [*voices[:3], canvas.palette.deep if on_paper else canvas.palette.paper]
    bands.append(tinted(voices[0], 0.16))
    corner_x = canvas.width * (1.02 if canvas.focus[0] >= 0.5 else -0.02)
    corner_y = canvas.height * (1.04 if canvas.focus[1] >= 0.5 else -0.04)
    width = canvas.short * canvas.random.uniform(0.1, 0.12)
    outer = min(canvas.short * 0.34 + width * len(bands), canvas.room(corner_x, corner_y) * 0.96)
    width = min(width, outer / (len(bands) + 2.5))
    for number, colour in enumerate(bands):
        radius = outer - number * width
        pasted(picture, _lit(canvas, colour), canvas.disc_mask(corner_x, corner_y, radius))
    pasted(picture, _lit(canvas, ground), canvas.disc_mask(corner_x, corner_y, outer - len(bands) * width))
    pasted(picture, voices[0], canvas.disc_mask(corner_x, corner_y, outer - (len(bands) + 1.4) * width))
    return picture


def _lit(canvas: Canvas, colour: Rgb) -> Picture:
    """A flat colour with a breath of light from above."""
    return canvas.gradient(tinted(colour, 0.035), colour)


def tiles(canvas: Canvas) -> Picture:
    """A grid of quarter circles, halves, dots and stripes that thins out towards the words."""
    ground = canvas.random.choice([canvas.palette.deep, canvas.palette.paper, canvas.palette.voices[0]])
    picture = canvas.flat(ground)
    beside = canvas.width >= canvas.height * 1.3
    side = max(1, math.ceil(canvas.height / canvas.random.choice([3, 4]) if beside else canvas.width / 6))
    columns, rows = math.ceil(canvas.width / side), math.ceil(canvas.height / side)
    colours = [c for c in (*canvas.palette.voices[:3], canvas.palette.deep, canvas.palette.paper) if c != ground]
    begin, end = _free_span(canvas, beside)
    deck: list[Rgb] = []
    for row in range(rows):
        for column in range(columns):
            left, top = canvas.width - (columns - column) * side, row * side
            start = left if beside else top
            distance = min(start - begin, end - start - side) / side
            if distance < 0 or canvas.random.random() < (0.35 if distance < 1 else 0.06):
                continue
            if len(deck) < 2:
                deck = [*deck, *canvas.random.sample(colours, len(colours))]
            back, front = deck.pop(), deck.pop()
            if back == front:
                front = canvas.random.choice([colour for colour in colours if colour != back])
            picture.paste(_tile(side, back, front, canvas), (left, top))
    return picture


def _free_span(canvas: Canvas, beside: bool) -> tuple[float, float]:
    """From where to where, across or down, the motif has the picture for itself."""
    if canvas.words is None:
        return -math.inf, math.inf
    _, top, right, bottom = canvas.words
    gap = canvas.short * 0.04
    if beside:
        return right + gap, math.inf
    return (-math.inf, top - gap * 3) if canvas.focus[1] < 0.5 else (bottom + gap, math.inf)


def _tile(side: int, back: Rgb, front: Rgb, canvas: Canvas) -> Picture:
    large = Image.new("RGB", (side * 2, side * 2), back)
    pen = ImageDraw.Draw(large)
    end = side * 2
    shape = canvas.random.randrange(6)
    if shape == 0:
        pen.pieslice((-end, -end, end, end), 0, 90, fill=front)
    elif shape == 1:
        pen.pieslice((0, -side, end, side), 0, 180, fill=front)
        pen.pieslice((0, side, end, side * 3), 0, 180, fill=front) if canvas.random.random() < 0.5 else None
    elif shape == 2:
        pen.ellipse((side * 0.4, side * 0.4, side * 1.6, side * 1.6), fill=front)
    elif shape == 3:
        pen.polygon([(0, 0), (end, 0), (0, end)], fill=front)
    elif shape == 4:
        for number in range(4):
            pen.rectangle((0, number * end / 4, end, number * end / 4 + end / 8), fill=front)
    else:
        pen.pieslice((-end, -end, end, end), 0, 90, fill=front)
        pen.pieslice((-side, -side, side, side), 0, 90, fill=back)
    return large.reduce(2).rotate(90 * canvas.random.randrange(4))


def rays(canvas: Canvas) -> Picture:
    """A sunburst behind a disc, in two close tones that fade into the ground."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    ground, beam = voices[0], tinted(voices[0], 0.09 if lightness(voices[0]) < 0.8 else -0.09)
    picture = canvas.flat(ground)
    fx, fy = canvas.focus_px
    count = canvas.random.choice([14, 18, 22])
    offset = canvas.random.uniform(0, math.tau)
    reach = canvas.width + canvas.height

    def draw(pen: ImageDraw.ImageDraw, scale: float) -> None:
        for number in range(count):
            angle = offset + math.tau * number / count
            ends = [
                (fx + math.cos(turn) * reach, fy + math.sin(turn) * reach) for turn in (angle, angle + math.pi / count)
            ]
            pen.polygon([(x * scale, y * scale) for x, y in [(fx, fy), *ends]], fill=255)

    pasted(picture, beam, canvas.sharp_mask(draw))
    far = smooth((canvas.focus_distance() - 0.6) / 1.2) * 0.75
    pasted(picture, deep, canvas.soft_mask(far))
    glow = smooth(1 - canvas.focus_distance() / 0.5) * 0.5
    pasted(picture, tinted(voices[0], 0.3), canvas.soft_mask(glow))
    radius = canvas.short * 0.235
    pasted(picture, canvas.palette.paper, canvas.disc_mask(fx, fy, radius * 1.07))
    pasted(picture, canvas.gradient(tinted(voices[1], 0.06), voices[1]), canvas.disc_mask(fx, fy, radius))
    return picture


# The share of the picture that lies below the edge of each sheet.
_SHEETS = (0.36, 0.52, 0.66, 0.79, 0.9)


def papercut(canvas: Canvas) -> Picture:
    """Sheets of cut paper, one above the other, each throwing a shadow on the next."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    heights = canvas.waves(4, 2.1) * 0.55 + smooth(1.15 - canvas.focus_distance() / 0.85) * 2.2
    inward = canvas.random.random() < 0.5
    stops = [
        deep,
        mixed(deep, voices[0], 0.55),
        voices[0],
        tinted(voices[0], 0.13),
        voices[1],
        tinted(voices[-1], 0.05),
    ]
    if inward:
        stops = [voices[0], tinted(voices[0], 0.13), voices[1], voices[-1], mixed(voices[0], deep, 0.45), deep]
    picture = canvas.flat(stops[0])
    size = (canvas.width, canvas.height)
    smooth_heights = Image.fromarray(heights.astype(np.float32), "F").resize(size, Image.Resampling.BICUBIC)
    steep = canvas.short * 85.0
    for level, share in enumerate(_SHEETS, start=1):
        cut = float(np.quantile(heights, share))
        mask = smooth_heights.point(_stretched(steep, 128 - cut * steep)).convert("L")
        shadow = _cast(canvas, smooth(np.clip((heights - cut) * 7 + 0.62, 0, 1)))
        pasted(picture, changed(deep, lightness=0.1), shadow)
        pasted(picture, _lit(canvas, stops[level]), mask)
    return picture


def _cast(canvas: Canvas, share: Array) -> Picture:
    """The soft shadow of a sheet: a little below it and to its right."""
    rows, columns = share.shape
    below = np.clip(np.arange(rows) - 2, 0, None)
    right = np.clip(np.arange(columns) - 1, 0, None)
    return canvas.soft_mask(share[below][:, right] * 0.42)


def _stretched(slope: float, offset: float) -> Callable[[float], float]:
    return lambda value: value * slope + offset


def ribbons(canvas: Canvas) -> Picture:
    """Satin bands that twist across the picture, shining where they turn to the light."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    picture = canvas.scaled_up(blend(mixed(deep, voices[0], 0.45), deep, smooth(canvas.focus_distance() / 1.1)))
    large = picture.resize((canvas.width * 2, canvas.height * 2), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for number in range(3):
        own, other = voices[number % len(voices)], voices[(number + 1) % len(voices)]
        _ribbon(canvas, pen, own, mixed(own, deep, 0.55) if number < 2 else other, 0.6 + 0.2 * number)
    return large.reduce(2)


def _ribbon(canvas: Canvas, pen: ImageDraw.ImageDraw, own: Rgb, edge: Rgb, width: float) -> None:
    first, second = _curve(canvas, width), _curve(canvas, width)
    strands = 36
    sheen = canvas.random.uniform(0, math.tau)

    def strand(share: float) -> list[tuple[float, float]]:
        return [
            ((ax + (bx - ax) * share) * 2, (ay + (by - ay) * share) * 2)
            for (ax, ay), (bx, by) in zip(first, second, strict=True)
        ]

    line = strand(0)
    for number in range(strands):
        share = (number + 1) / strands
        following = strand(share)
        shine = 0.5 + 0.5 * math.sin(share * math.tau * 1.5 + sheen)
        colour = tinted(mixed(own, edge, share**3), 0.1 * shine**4 - 0.05 * (1 - shine))
        pen.polygon([*line, *reversed(following)], fill=colour)
        line = following


def _curve(canvas: Canvas, width: float) -> list[tuple[float, float]]:
    """A swinging line across the picture that passes near the focus."""
    fx, fy = canvas.focus_px
    swing = canvas.short * canvas.random.uniform(0.14, 0.34) * width
    turns = canvas.random.uniform(0.7, 1.3)
    phase = canvas.random.uniform(0, math.tau)
    tilt = canvas.random.uniform(-0.25, 0.25)
    upright = canvas.height > canvas.width * 1.2
    length, middle = (canvas.height, fx) if upright else (canvas.width, fy)
    points = []
    for step in range(121):
        along = (step / 120 * 1.2 - 0.1) * length
        turn = along / length * math.tau * turns + phase
        off = middle + swing * math.sin(turn) + swing * 0.3 * math.sin(turn * 2.3) + tilt * (along - length / 2)
        points.append((off, along) if upright else (along, off))
    return points
