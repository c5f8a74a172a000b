"""What there is to be modelled: each thing is its parts, as chance and the words want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np

from provider_worker.adapters.sandbox.drawing.colours import Array
from provider_worker.adapters.sandbox.modelling.mesh import Mesh, Part, faces, meshes_of
from provider_worker.adapters.sandbox.modelling.solids import Point, blob, bumpy, hoop, rounded, tube, turned

Thing = Callable[[Random, int], list[Mesh]]
"""Makes it with at most so many triangles."""


def vase(random: Random, most: int) -> list[Mesh]:
    """Thrown on a wheel, with flutes that may turn."""
    belly, neck, lip = random.uniform(0.38, 0.6), random.uniform(0.12, 0.3), random.uniform(0.2, 0.42)
    height = random.uniform(1.3, 1.9)
    at = random.uniform(0.3, 0.55)
    outside = [(0.0, 0.0), (0.24, 0.0), (0.3, 0.03), (belly, height * at), (neck, height * 0.82), (lip, height)]
    inside = [(lip - 0.045, height), (neck - 0.04, height * 0.82), (belly - 0.07, height * at), (0.2, 0.1), (0.0, 0.08)]
    count, depth, twist = random.choice([0, 8, 12, 16]), random.uniform(0.03, 0.07), random.uniform(-2.2, 2.2)

    def flutes(turn: Array, high: Array) -> Array:
        found: Array = 1 + depth * (count > 0) * np.cos(count * (turn + twist * high / height))
        return found

    body = Part(turned(rounded([*outside, *inside]), flutes), 8, 1.0, (4, 3))
    ring = Part(hoop((0, height * 0.82, 0), neck + 0.012, 0.03, upright=False), 1, 0.3, (1, 8), skin=1, ring=True)
    return meshes_of([body, ring], most)


def crystals(random: Random, most: int) -> list[Mesh]:
    """Six-sided prisms that grow out of one place; flat, so they need few triangles."""
    outlines: list[Array] = []
    for number in range(min(random.randint(7, 13), most // 26)):
        lean = 0.0 if number == 0 else random.uniform(0.25, 0.95)
        around = number * 2.4 + random.uniform(-0.3, 0.3)
        length = (1.0 if number == 0 else random.uniform(0.45, 0.8)) * 1.6
        outlines += _crystal(random, lean, around, length, length * random.uniform(0.1, 0.15))
    stones = faces(outlines, scale=1.3)
    left = most - len(stones.triangles)
    if left < 40:
        return [stones]
    foot = Part(_rough(blob((0, -0.04, 0), (0.62, 0.2, 0.62)), (0, -0.04, 0), random, 0.22), 1, 1.6, (3, 1), skin=1)
    return [stones, *meshes_of([foot], min(left, 6000))]


def _crystal(random: Random, lean: float, around: float, length: float, radius: float) -> list[Array]:
    axis = np.array([math.sin(lean) * math.cos(around), math.cos(lean), math.sin(lean) * math.sin(around)])
    side = np.cross(axis, [0.3, 0.1, 0.95])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    turns = [math.tau * corner / 6 + random.uniform(-0.12, 0.12) for corner in range(6)]
    ring = np.array([math.cos(turn) * side + math.sin(turn) * other for turn in turns]) * radius
    foot, shoulder = ring * 0.75, ring + axis * length * random.uniform(0.68, 0.8)
    tip = axis * length + side * radius * random.uniform(-0.3, 0.3)
    found: list[Array] = [foot[::-1]]
    for corner in range(6):
        after = (corner + 1) % 6
        found.append(np.array([foot[corner], foot[after], shoulder[after], shoulder[corner]]))
        found.append(np.array([shoulder[corner], shoulder[after], tip]))
    return found


def wheel(random: Random, most: int) -> list[Mesh]:
    """A wheel of fortune on its stand."""
    spokes = random.choice([6, 8, 10])
    rim = Part(hoop((0, 1.15, 0), 0.8, 0.1, square=0.6), 5, 0.25, (1, 10), ring=True)
    hub = Part(blob((0, 1.15, 0), (0.2, 0.2, 0.16), square=0.8), 1.5, 2.0, (2, 1), skin=1)
    post = Part(turned(rounded([(0, 0), (0.46, 0), (0.42, 0.08), (0.1, 0.2), (0.07, 0.6), (0.09, 1.0), (0, 1.02)])), 2)
    back = Part(blob((0, 1.15, -0.05), (0.74, 0.74, 0.035), square=0.75), 2, 1.0, (2, 2))
    arms = [_spoke(math.tau * number / spokes) for number in range(spokes)]
    knobs = [_knob(math.tau * (number + 0.5) / spokes) for number in range(spokes)]
    pointer = Part(blob((0, 2.08, 0.06), (0.05, 0.14, 0.05), square=1.2), 0.6, 1.0, (1, 1), skin=1)
    return meshes_of([rim, hub, post, back, pointer, *arms, *knobs], most)


def _spoke(turn: float) -> Part:
    out = np.array([math.cos(turn), math.sin(turn), 0.0])
    centre = np.array([0, 1.15, 0.02])
    return Part(
        tube(lambda v: centre + out * (0.1 + 0.65 * v)[:, None], lambda v: 0.04 * _ends(v)), 0.7, 0.8, (1, 3), skin=1
    )


def _knob(turn: float) -> Part:
    return Part(
        blob((0.8 * math.cos(turn), 1.15 + 0.8 * math.sin(turn), 0.12), (0.055, 0.055, 0.055)), 0.4, 2, (1, 1), skin=1
    )


def creature(random: Random, most: int) -> list[Mesh]:
    """An animal of round parts, that looks at you."""
    long, high = random.uniform(0.55, 0.85), random.uniform(0.3, 0.46)
    square = random.uniform(0.75, 1.0)
    legs = random.uniform(0.32, 0.5)
    top = legs + high
    head = random.uniform(0.28, 0.38)
    face: Point = (0, top + head * 0.75, long * 0.82)
    parts = [
        Part(blob((0, top, 0), (high * 0.95, high, long), square=square), 5, 1.6, (3, 2)),
        Part(blob(face, (head, head * 0.92, head), square=square), 3.5, 1.6, (2, 1.4)),
        Part(blob((0, face[1] - head * 0.22, face[2] + head * 0.85), (head * 0.45, head * 0.34, head * 0.4)), 1.2),
        *(_leg(side * high * 0.55, end * long * 0.55, legs + high * 0.5) for end in (1, -1) for side in (1, -1)),
        *(_ear(face, head, side, random.choice([0.35, 0.55, 0.9])) for side in (1, -1)),
    ]
    swing, rise = random.uniform(-0.5, 0.5), random.uniform(0.2, 0.8)

    def path(v: Array) -> Array:
        return np.stack([swing * v**2, top + 0.1 + rise * v**1.5, -long * 0.9 - 0.6 * v], axis=-1)

    parts.append(Part(tube(path, lambda v: (0.16 - 0.06 * v) * _ends(v)), 1.4, 0.7, (1, 3), skin=1))
    for side in (1, -1):
        place = (side * head * 0.42, face[1] + head * 0.22, face[2] + head * 0.82)
        parts.append(Part(blob(place, (head * 0.14, head * 0.18, head * 0.12)), 0.7, 2, (0.2, 0.2), skin=1))
    return meshes_of(parts, most)


def _leg(x: float, z: float, length: float) -> Part:
    return Part(blob((x, length / 2, z), (0.13, length / 2, 0.14), square=0.85), 1.0, 1.0, (1, 1))


def _ear(face: Point, head: float, side: int, length: float) -> Part:
    place = (side * head * 0.55, face[1] + head * (0.75 + 0.35 * length), face[2] - head * 0.1)
    return Part(blob(place, (head * 0.22, head * length, head * 0.12), tilt=-0.15, turn=side * 0.3), 0.9, 1, (1, 1))


def planet(random: Random, most: int) -> list[Mesh]:
    """A small world with mountains, perhaps a ring, and a moon."""
    world = Part(_rough(blob((0, 0, 0), (1, 1, 1)), (0, 0, 0), random, random.uniform(0.04, 0.16)), 7, 2.0, (4, 2))
    moon = Part(_rough(blob((1.55, 0.5, 0.3), (0.2, 0.2, 0.2)), (1.55, 0.5, 0.3), random, 0.1), 1, 2.0, (2, 1), skin=1)
    rings = [] if random.random() < 0.3 else [_belt(1.5, 0.16), _belt(1.78, 0.07)]
    return meshes_of([world, *rings, moon], most)


def _belt(radius: float, width: float) -> Part:
    shape = hoop((0, 0, 0), radius, width, upright=False)

    def flat(u: Array, v: Array) -> Array:
        at: Array = shape(u, v) * np.array([1, 0.12, 1])
        at[..., 1] += at[..., 0] * 0.28
        return at

    return Part(flat, 1.5, 0.15, (1, 12), skin=1, ring=True)


def trophy(random: Random, most: int) -> list[Mesh]:
    """A cup with two handles on a foot."""
    wide, height = random.uniform(0.42, 0.56), random.uniform(1.5, 1.9)
    bowl = height * 0.55
    outside = [
        (0, 0),
        (0.36, 0),
        (0.38, 0.08),
        (0.3, 0.14),
        (0.09, 0.24),
        (0.07, bowl - 0.1),
        (wide * 0.75, bowl + 0.12),
    ]
    inside = [(wide, height), (wide - 0.03, height), (wide * 0.72 - 0.03, bowl + 0.16), (0.0, bowl + 0.08)]
    cup = Part(turned(rounded([*outside, *inside])), 7, 1.0, (3, 4))
    base = Part(blob((0, -0.12, 0), (0.46, 0.14, 0.46), square=0.3), 1.5, 1.6, (3, 0.6), skin=1)
    band = Part(hoop((0, height - 0.05, 0), wide * 0.985, 0.028, upright=False), 1, 0.2, (1, 8), skin=1, ring=True)
    return meshes_of([cup, base, *(_handle(side, wide, bowl, height) for side in (1, -1)), band], most)


def _handle(side: int, wide: float, bowl: float, height: float) -> Part:
    def path(v: Array) -> Array:
        turn = (v - 0.5) * 3.5
        out = wide * 0.72 + 0.36 * np.cos(turn)
        return np.stack([side * out, (bowl + height) / 2 + 0.05 + 0.3 * np.sin(turn), 0 * v], axis=-1)

    return Part(tube(path, lambda v: 0.05 * _ends(v)), 1.4, 0.4, (1, 4), skin=1)


def tree(random: Random, most: int) -> list[Mesh]:
    """A trunk and clouds of leaves."""
    height = random.uniform(0.9, 1.3)
    bend = random.uniform(-0.18, 0.18)

    def path(v: Array) -> Array:
        return np.stack([bend * np.sin(v * 3), height * v, 0.1 * bend * v], axis=-1)

    trunk = Part(tube(path, lambda v: (0.2 - 0.11 * v) * np.clip(np.minimum(v, 1 - v) * 40, 0, 1)), 2, 0.5, (1, 3), 1)
    crowns = []
    for number in range(random.randint(3, 6)):
        turn, out = number * 2.4, 0.0 if number == 0 else random.uniform(0.25, 0.42)
        size = 0.58 if number == 0 else random.uniform(0.3, 0.44)
        centre = (out * math.cos(turn), height + 0.25 + random.uniform(-0.15, 0.3) * (number > 0), out * math.sin(turn))
        crown = _rough(blob(centre, (size, size * 0.88, size)), centre, random, 0.14)
        crowns.append(Part(crown, size * 6, 1.6, (3, 2)))
    return meshes_of([trunk, *crowns], most)


def chest(random: Random, most: int) -> list[Mesh]:
    """A chest with bands and a lock."""
    wide, deep = random.uniform(0.6, 0.8), random.uniform(0.4, 0.5)
    box = Part(blob((0, 0.34, 0), (wide, 0.34, deep), square=0.22), 4, 1.6, (3, 1))
    lid = Part(blob((0, 0.7, 0), (wide * 1.03, 0.3, deep * 1.04), square=0.35), 4, 1.6, (3, 1))
    bands = [
        Part(blob((side * wide * 0.62, 0.5, 0), (0.06, 0.53, deep * 1.09), square=0.3), 1, 1.0, (0.5, 2), skin=1)
        for side in (1, -1)
    ]
    lock = Part(blob((0, 0.62, deep * 1.04), (0.12, 0.15, 0.06), square=0.5), 1, 1.0, (0.4, 0.4), skin=1)
    return meshes_of([box, lid, *bands, lock], most)


THINGS: Mapping[Thing, Sequence[str]] = {
    vase: ("vase", "bottle", "pot", "jar", "urn", "amphora", "potion", "lamp", "jug", "mug"),
    crystals: ("crystal", "gem", "diamond", "jewel", "ruby", "emerald", "sapphire", "ice", "quartz", "shard"),
    wheel: ("wheel", "roulette", "ring", "gear", "fortune", "spinner", "clock", "shield", "coin", "medal"),
    creature: (
        *("creature", "animal", "fox", "dog", "cat", "bear", "monster", "dragon", "horse", "lion", "wolf", "rabbit"),
        *("pig", "cow", "sheep", "mouse", "tiger", "dinosaur", "beast", "pet", "mascot", "robot", "elephant"),
    ),
    planet: ("planet", "world", "moon", "asteroid", "globe", "rock", "stone", "meteor", "earth", "ball"),
    trophy: ("trophy", "cup", "goblet", "chalice", "award", "prize", "crown", "grail"),
    tree: ("tree", "plant", "bush", "oak", "forest", "bonsai", "flower", "mushroom", "cactus"),
    chest: ("chest", "box", "crate", "treasure", "barrel", "house", "car", "truck", "suitcase", "chair", "table"),
}
"""The words that mean a thing."""


def _ends(v: Array) -> Array:
    """Round ends of a tube."""
    near = np.minimum(v, 1 - v) * 8
    found: Array = np.sqrt(np.clip(1 - (1 - np.clip(near, 0, 1)) ** 2, 0, 1))
    return found


def _rough(shape: Callable[[Array, Array], Array], centre: Point, random: Random, by: float) -> Callable[..., Array]:
    waves = [
        (
            np.array([random.gauss(0, 1) for _ in range(3)]) * (1.6 * 1.7**number),
            random.uniform(0, math.tau),
            0.62**number,
        )
        for number in range(7)
    ]

    def bumps(direction: Array) -> Array:
        total: Array = sum((np.sin(direction @ wave + phase) * share for wave, phase, share in waves), np.zeros(1))
        return total * by

    return bumpy(shape, centre, bumps)
