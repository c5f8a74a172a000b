"""What a surface is made of: each material is a pattern without edges, in the colours it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from provider_worker.adapters.sandbox.drawing.canvas import smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Palette, Rgb, to_lab
from provider_worker.adapters.sandbox.tiling.periodic import Torus, cells


@dataclass(frozen=True, slots=True)
class Surface:
    """Colour in OKLab, and height, roughness and metalness from 0 to 1, for each pixel."""

    lab: Array
    height: Array
    roughness: Array
    metalness: float = 0.0


Material = Callable[[Torus, Palette], Surface]


def bricks(torus: Torus, palette: Palette) -> Surface:
    """Courses of bricks in running bond."""
    down = 2 * torus.random.choice([3, 4, 5])
    across, _ = torus.counts(down / 2.4)
    x, y = torus.grid(across, down)
    row = np.floor(y)
    x = x + (row % 2) * 0.5
    number = (row * across + np.floor(x) % across).astype(np.intp)
    aspect = (torus.width / across) / (torus.height / down)
    edge_x, edge_y = (0.5 - np.abs(x % 1 - 0.5)) * aspect, 0.5 - np.abs(y % 1 - 0.5)
    worn = torus.noise(24, 3)
    brick = smooth((np.minimum(edge_x, edge_y) - 0.05 + worn * 0.022) / 0.06)
    colours = _spread(torus, across * down, [palette.voices[0], palette.voices[0], palette.voices[1]], 0.06)[number]
    lab = _over(colours + _light(worn * 0.035), _pale(palette, 0.72), brick)
    height = brick * (0.75 + 0.12 * worn) + (1 - brick) * 0.06 * worn
    return Surface(_lit(torus, lab, height, 0.5), _level(height), _level(0.82 + 0.1 * worn))


def planks(torus: Torus, palette: Palette) -> Surface:
    """Boards side by side, each with a grain of its own."""
    down = torus.random.choice([5, 6, 7])
    x, y = torus.grid(1, down)
    row = np.broadcast_to(np.floor(y).astype(np.intp), torus.shape)
    ends = torus.chance.uniform(0, 1, down).astype(np.float32)
    along = (x - ends[row]) % 1
    side = (along < 0.5).astype(np.intp)
    number = row * 2 + side
    shift = torus.chance.integers(0, torus.width, down * 2)
    column = (np.arange(torus.width)[None, :] + shift[number]) % torus.width
    figure = np.take_along_axis(torus.noise(1.6, 3, stretch=9), column, axis=1)
    fibre = torus.noise(70, 2, stretch=30)
    rings = 0.5 + 0.5 * np.sin(figure * 15 + y * 3.1 + number * 1.7)
    across = torus.height / down
    gap_x = np.minimum(np.minimum(along, 1 - along), np.abs(along - 0.5)) * torus.width / across
    board = smooth((np.minimum(0.5 - np.abs(y % 1 - 0.5), gap_x) - 0.012) / 0.03)
    tones = _spread(torus, down * 2, [palette.voices[0], palette.voices[0], palette.voices[1]], 0.05)[number]
    lab = tones - _light(0.13 * smooth(rings) ** 2 + 0.05 * fibre)
    height = board * (0.8 + 0.05 * fibre - 0.06 * rings)
    lab = _over(lab, palette.deep, 0.25 + 0.75 * board)
    return Surface(_lit(torus, lab, height, 0.35), _level(height), _level(0.6 + 0.2 * rings))


def cobbles(torus: Torus, palette: Palette) -> Surface:
    """Rounded stones in earth."""
    across, down = torus.counts(torus.random.choice([5, 6, 8]))
    found = cells(torus, across, down, 0.75)
    worn = torus.noise(14, 4)
    stone = smooth((found.border - 0.05 + worn * 0.02) / 0.09)
    dome = smooth(found.border * 1.7 + 0.1) * (1 - 0.35 * found.centre)
    colours = _spread(torus, across * down, [*palette.voices[:2], palette.voices[0]], 0.08)[found.number]
    lab = _over(colours + _light(worn * 0.05 + (dome - 0.6) * 0.12), palette.deep, stone)
    height = stone * (0.25 + 0.65 * dome + 0.06 * worn)
    return Surface(_lit(torus, lab, height, 0.6), _level(height), _level(0.7 + 0.12 * worn))


def marble(torus: Torus, palette: Palette) -> Surface:
    """Polished stone with veins that wander."""
    drift = torus.noise(2, 4)
    clouds = torus.warped(torus.noise(2.5, 4), drift, 0.16)
    veins = torus.warped(torus.noise(2, 5), drift, 0.22)
    fine = torus.warped(torus.noise(5, 4), drift, 0.12)
    main = np.exp(-np.abs(veins) * 16) + 0.45 * np.exp(-np.abs(fine) * 22)
    ground = _between(_pale(palette, 0.93), palette.voices[0], smooth(0.42 + clouds * 0.55) * 0.55)
    lab = _over(_lab(palette.deep), ground, smooth(np.clip(main, 0, 1)) * 0.8)
    gold = np.exp(-np.abs(veins + 0.09) * 60) * smooth(clouds + 0.6)
    lab = _over(_lab(palette.voices[1]), lab, gold * 0.8)
    return Surface(lab, _level(0.5 + 0.02 * clouds), _level(0.16 + 0.12 * main))


def weave(torus: Torus, palette: Palette) -> Surface:
    """Threads over and under each other."""
    across, down = (2 * max(1, round(count / 2)) for count in torus.counts(torus.random.choice([20, 28, 36])))
    x, y = torus.grid(across, down)
    over = (np.floor(x) + np.floor(y)) % 2 < 1
    bend_x, bend_y = np.sin(x % 1 * math.pi), np.sin(y % 1 * math.pi)
    fibre_x, fibre_y = torus.noise(60, 2, stretch=6), torus.noise(60, 2, stretch=1 / 6)
    height = np.where(over, bend_y * (0.55 + 0.45 * bend_x), bend_x * (0.55 + 0.45 * bend_y)).astype(np.float32)
    band = 2 * max(1, round(across / 12))
    stripe_x, stripe_y = (np.floor(x / band) % 2 < 1), (np.floor(y / band) % 2 < 1)
    warp = np.where(stripe_x, 0, 1) if across % (2 * band) == 0 else np.zeros_like(x, dtype=np.intp)
    weft = np.where(stripe_y, 0, 1) if down % (2 * band) == 0 else np.zeros_like(y, dtype=np.intp)
    table = np.stack([_lab(palette.voices[0]), _lab(palette.voices[1])])
    lab = np.where(over[..., None], table[weft], table[warp])
    lab = lab + _light(np.where(over, fibre_x, fibre_y) * 0.04 + (height - 0.75) * 0.26)
    return Surface(lab.astype(np.float32), _level(height), _level(0.9 + 0.05 * fibre_x))


def hexagons(torus: Torus, palette: Palette) -> Surface:
    """Glazed six-sided tiles."""
    across, down = torus.counts(torus.random.choice([5, 7, 9]), stretch=math.sqrt(3) / 2)
    down = 2 * max(1, round(down / 2))
    found = cells(torus, across, down, 0.0, bonded=True)
    glaze = torus.noise(6, 3)
    tile = smooth((found.border - 0.07) / 0.06)
    bevel = smooth((found.border - 0.07) / 0.22)
    colours = _spread(torus, across * down, [*palette.voices[:3], palette.voices[0], palette.paper], 0.03)[found.number]
    lab = _over(colours + _light(glaze * 0.02 + 0.05 * bevel - 0.03), _pale(palette, 0.8), tile)
    height = tile * (0.5 + 0.4 * bevel)
    return Surface(_lit(torus, lab, height, 0.4), _level(height), _level(0.75 - 0.5 * tile + 0.06 * glaze))


def terrazzo(torus: Torus, palette: Palette) -> Surface:
    """Chips of many stones in cement, ground flat."""
    specks = torus.noise(90, 2)
    lab: Array = _pale(palette, 0.93) + _light(specks * 0.015)
    rough: Array = np.full(torus.shape, 0.5, dtype=np.float32)
    for number, share in ((6, 0.75), (11, 0.6), (22, 0.5)):
        across, down = torus.counts(number)
        found = cells(torus, across, down, 0.9)
        sizes = torus.chance.uniform(0.1, 0.42, across * down).astype(np.float32)
        kept = torus.chance.uniform(0, 1, across * down) < share
        ragged = found.centre + torus.noise(number * 2.4, 2) * 0.06
        chip = kept[found.number] * smooth((sizes[found.number] - ragged) / 0.03) * smooth(found.border / 0.05)
        colours = _spread(torus, across * down, [*palette.voices[:4], palette.deep], 0.05)[found.number]
        lab = _over(colours + _light(specks * 0.02), lab, chip)
        rough = rough - 0.25 * chip * rough
    return Surface(lab, _level(0.5 + 0.01 * specks), rough)


def scallops(torus: Torus, palette: Palette) -> Surface:
    """Overlapping round scales."""
    across, down = torus.counts(torus.random.choice([6, 8, 10]))
    down = 2 * max(1, round(down * 0.8))
    x, y = torus.grid(across, down)
    aspect = (torus.width / across) / (torus.height / down)
    best = np.zeros(torus.shape, dtype=np.intp)
    inside = np.full(torus.shape, 9.0, dtype=np.float32)
    # A scale lies over those of the row below it: the first row from above whose circle holds the pixel is seen.
    for back in (2, 1, 0):
        row = np.floor(y) - back
        shift = (row % 2) * 0.5
        column = np.floor(x - shift)
        away = np.hypot((x - shift - column - 0.5) * aspect, y - row) / _reach(aspect)
        holds = away < 1
        inside = np.where(holds, away, inside)
        best = np.where(holds, (row % down).astype(np.intp) * across + (column % across).astype(np.intp), best)
    inside = np.clip(inside, 0, 1)
    colours = _spread(torus, across * down, [*palette.voices[:3], palette.voices[0]], 0.05)[best]
    height = 1 - 0.75 * inside**2
    rim = smooth((inside - 0.86) / 0.1)
    lab = _over(_lab(palette.deep), colours + _light((height - 0.62) * 0.22), rim * 0.75)
    worn = torus.noise(30, 2)
    return Surface(_lit(torus, lab, height, 0.35), _level(height), _level(0.35 + 0.3 * rim + 0.06 * worn))


def _reach(aspect: float) -> float:
    """The radius with which scales that are so much wider than their rows are high leave no gap."""
    return max(0.5 * aspect, math.hypot(0.25 * aspect, 1)) * 1.08


def brushed(torus: Torus, palette: Palette) -> Surface:
    """Plates of metal with the fine lines of a brush."""
    lines = torus.noise(150, 2, stretch=150) + 0.6 * torus.noise(60, 1, stretch=220)
    sheen = torus.noise(2, 2, stretch=3)
    across, down = torus.counts(2)
    x, y = torus.grid(across, down)
    edge_x, edge_y = 0.5 - np.abs(x % 1 - 0.5), 0.5 - np.abs(y % 1 - 0.5)
    plate = smooth((np.minimum(edge_x, edge_y) - 0.008) / 0.012)
    rivet = np.hypot(edge_x - 0.06, edge_y - 0.06)
    head = smooth((0.022 - rivet) / 0.006)
    height = plate * (0.6 + 0.05 * lines) + 0.35 * head * smooth(1.4 - rivet / 0.022)
    pieces = np.floor(y).astype(np.intp) * across + np.floor(x).astype(np.intp)
    tones = _spread(torus, across * down, [palette.voices[0], palette.voices[0], palette.voices[1]], 0.04)[pieces]
    shining = tones + _light(lines * 0.07 + smooth(0.5 + sheen * 0.6) * 0.12 - 0.06)
    lab = _over(shining, palette.deep, 0.3 + 0.7 * plate)
    return Surface(_lit(torus, lab, height, 0.5), _level(height), _level(0.36 + 0.16 * lines), metalness=1.0)


def ripples(torus: Torus, palette: Palette) -> Surface:
    """Sand that wind or water has drawn lines into."""
    _, down = torus.counts(torus.random.choice([9, 12, 15]))
    tilt = torus.random.choice([-2, -1, 1, 2])
    x, y = torus.grid(1, 1)
    drift = torus.noise(2, 3)
    phase = (y * down + x * tilt + drift * 1.15) * math.tau
    wave = 0.5 + 0.5 * np.sin(phase + 0.55 * np.sin(phase))
    grain = torus.noise(200, 2)
    height = wave * (0.6 + 0.25 * torus.noise(3, 2)) + 0.02 * grain
    lab = _between(palette.voices[0], _pale(palette, 0.9), smooth(wave) * 0.45)
    lab = lab + _light(grain * 0.022 + (wave - 0.5) * 0.1)
    return Surface(_lit(torus, lab.astype(np.float32), height, 0.7), _level(height), _level(0.95 - 0.05 * wave))


def grass(torus: Torus, palette: Palette) -> Surface:
    """Blades over blades, lying in the way the wind went."""
    lab = np.broadcast_to(_lab(palette.deep), (*torus.shape, 3)).astype(np.float32)
    height = np.zeros(torus.shape, dtype=np.float32)
    wind = torus.noise(5, 2)
    patches = smooth(0.5 + torus.noise(3, 3) * 0.6)
    for layer in range(7):
        blades = torus.noise(60, 2, stretch=(0.07, 0.12, 0.2)[layer % 3])
        blades = torus.warped(blades, np.roll(wind, layer * 53, 1), 0.05)
        blade = smooth((blades - 0.25) / 0.35)
        tone = _between(palette.voices[0], palette.voices[1], 0.15 * layer * patches)
        lab = _over(tone + _light(0.035 * (layer - 4) + 0.12 * (blades - 0.5)), lab, blade * 0.9)
        height = np.maximum(height * (1 - 0.3 * blade), blade * (0.3 + 0.1 * layer))
    return Surface(_lit(torus, lab, height, 0.12), _level(height), _level(0.8 + 0.05 * wind))


def caustics(torus: Torus, palette: Palette) -> Surface:
    """Light on the floor of a pool."""
    drift = torus.noise(3, 3)
    light = np.zeros(torus.shape, dtype=np.float32)
    for number, weight in ((5, 1.0), (8, 0.6)):
        across, down = torus.counts(number)
        found = cells(torus, across, down, 0.95)
        border = torus.warped(found.border, drift, 0.035)
        light += np.float32(weight) * (np.exp(-border * 9) + 0.35 * np.exp(-border * 2.5))
    depth = smooth(0.5 + torus.noise(2, 2) * 0.5)
    lab = _between(palette.deep, palette.voices[0], 0.45 + 0.5 * depth)
    lab = _over(_lab(palette.voices[1]), lab, np.clip(light * 0.5, 0, 1) * 0.8)
    lab = _over(_lab(palette.paper), lab, smooth((light - 0.75) / 0.8) * 0.85)
    height = np.clip(0.3 + 0.4 * light, 0, 1)
    return Surface(lab, _level(height), _level(0.1 + 0.05 * depth))


def truchet(torus: Torus, palette: Palette) -> Surface:
    """Bands that turn in quarter circles and never end."""
    across, down = torus.counts(torus.random.choice([6, 8, 10]))
    turned = torus.chance.integers(0, 2, (down, across)).astype(bool)
    x, y = torus.grid(across, down)
    here = turned[np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)]
    within_x, within_y = np.where(here, 1 - x % 1, x % 1), np.broadcast_to(y % 1, torus.shape)
    away = np.minimum(np.hypot(within_x, within_y), np.hypot(1 - within_x, 1 - within_y))
    off = np.abs(away - 0.5)
    soft = across / torus.width * 1.5
    band, core = smooth((0.2 - off) / soft), smooth((0.075 - off) / soft)
    lab = _over(_lab(palette.voices[0]), _lab(palette.deep), band)
    lab = _over(_lab(palette.voices[1]), lab, core)
    dots = smooth((0.09 - np.hypot(x % 1 - np.rint(x % 1), y % 1 - np.rint(y % 1))) / soft)
    lab = _over(_lab(palette.paper), lab, dots)
    height = np.clip(0.3 + 0.4 * smooth((0.2 - off) / 0.08) + 0.2 * dots, 0, 1)
    return Surface(_lit(torus, lab, height, 0.2), _level(height), _level(0.55 - 0.2 * band))


def _lab(colour: Rgb | Array) -> Array:
    return to_lab(colour) if isinstance(colour, tuple) else colour


def _between(first: Rgb | Array, second: Rgb | Array, share: Array) -> Array:
    """`share` of the way from the first colour to the second."""
    start = _lab(first)
    found: Array = start + (_lab(second) - start) * share.astype(np.float32)[..., None]
    return found.astype(np.float32)


def _over(top: Rgb | Array, below: Rgb | Array, share: Array) -> Array:
    """`top` over `below` where `share` is 1."""
    return _between(below, top, share)


def _light(by: Array | float) -> Array:
    """So much more lightness."""
    more = np.zeros((*np.shape(by), 3), dtype=np.float32)
    more[..., 0] = by
    return more


def _pale(palette: Palette, lightness: float) -> Array:
    """The palette's paper at another lightness."""
    lab = to_lab(palette.paper).copy()
    lab[0] = lightness
    return lab


def _spread(torus: Torus, count: int, colours: list[Rgb], by: float) -> Array:
    """A colour for each of so many pieces, a little lighter or darker than one of those given."""
    chance = torus.chance
    chosen = np.stack([_lab(colour) for colour in colours])[chance.integers(0, len(colours), count)]
    chosen[:, 0] += chance.uniform(-by, by, count)
    return chosen.astype(np.float32)


def _lit(torus: Torus, lab: Array, height: Array, strength: float) -> Array:
    """A breath of light from the upper left; strong shadows would be wrong wherever the light of a scene comes from."""
    found: Array = lab + _light(np.clip(torus.slope(height), -0.25, 0.25) * np.float32(strength * 0.5))
    return found.astype(np.float32)


def _level(value: Array) -> Array:
    level: npt.NDArray[np.float32] = np.clip(value, 0, 1).astype(np.float32)
    return level
