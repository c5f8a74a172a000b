"""One texture from one brief: its edges meet, whatever it is made of (R56)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from media.seams import tile
from provider_worker.adapters.sandbox.drawing.canvas import Picture, grained
from provider_worker.adapters.sandbox.drawing.colours import Rgb, palette_of, parse, to_rgb
from provider_worker.adapters.sandbox.drawing.editing import recoloured
from provider_worker.adapters.sandbox.drawing.png import encoded
from provider_worker.adapters.sandbox.tiling import materials
from provider_worker.adapters.sandbox.tiling.materials import Material, Surface
from provider_worker.adapters.sandbox.tiling.periodic import Torus
from provider_worker.adapters.sandbox.wording import colours_in, meant, subject_of

Pixels = npt.NDArray[np.uint8]

_COMPUTED_EDGE = 2048
"""Of a larger texture the pattern is computed so large and enlarged; its grain is of full size."""
_MARGIN = 8
_STRIP = 256

MATERIALS: Mapping[Material, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    materials.bricks: (("brick", "wall", "masonry"), (("#A4492F", "#C0694A", "#5B2A20"), ("#8C5A4A", "#B98A75"))),
    materials.planks: (
        ("wood", "wooden", "plank", "board", "oak", "pine", "walnut", "timber", "parquet", "deck", "bark"),
        (("#A9743F", "#8A5A30", "#3B2414"), ("#C79A64", "#B3844F", "#4A3020"), ("#6B4A32", "#7E5A3C", "#2A1B12")),
    ),
    materials.cobbles: (
        ("stone", "cobble", "cobblestone", "cobbles", "rock", "pebble", "pavement", "flagstone", "gravel", "dungeon"),
        (("#8B8F94", "#A39E93", "#2E2F33"), ("#7C8A8C", "#9AA39B", "#22302E")),
    ),
    materials.marble: (
        ("marble", "granite", "agate", "onyx", "smoke", "ink", "jade"),
        (("#B9BEC6", "#C9A35A", "#3C424C"), ("#2F6E5E", "#D8B25E", "#10241F")),
    ),
    materials.weave: (
        ("fabric", "cloth", "weave", "woven", "linen", "wool", "knit", "carpet", "canvas", "wicker", "basket", "rug"),
        (("#3F6C8F", "#D9C9A8", "#1D2C3A"), ("#A8483F", "#E0CBA0", "#3A1A18")),
    ),
    materials.hexagons: (
        ("hexagon", "hexagonal", "honeycomb", "tile", "ceramic", "porcelain", "panel", "bathroom", "futuristic"),
        (("#2C7DA0", "#A9D6E5", "#61A5C2", "#013A63"), ("#E9B44C", "#F6D186", "#9B5D1E", "#3B2410")),
    ),
    materials.terrazzo: (
        ("terrazzo", "mosaic", "confetti", "concrete", "floor", "chip", "speckle", "candy"),
        (("#D1664F", "#4C8C8A", "#E3B04B", "#2E3A46"), ("#7D8FA8", "#C98F8F", "#5E6B5A", "#3A3A3A")),
    ),
    materials.scallops: (
        ("scale", "fish", "dragon", "mermaid", "roof", "shingle", "feather", "snake", "reptile"),
        (("#1F8A8A", "#53B7A5", "#2C6E8F", "#0B2E3A"), ("#9C3D2E", "#C2613F", "#7A2C2A", "#2C100E")),
    ),
    materials.brushed: (
        ("metal", "metallic", "steel", "aluminium", "aluminum", "iron", "chrome", "brass", "copper", "robot", "armor"),
        (("#A9B2BB", "#8C98A4", "#30363D"), ("#B98B4E", "#D4AC6B", "#3D2A14")),
    ),
    materials.ripples: (
        ("sand", "desert", "dune", "snow", "beach", "zebra", "clay"),
        (("#CFA873", "#E3C698", "#6E4E2C"), ("#B7C6D6", "#E8EEF4", "#5A6C80")),
    ),
    materials.grass: (
        ("grass", "moss", "lawn", "meadow", "fur", "forest", "leaf", "leave", "hay", "jungle"),
        (("#4F8A34", "#8DBB4A", "#16330F"), ("#3E7A4E", "#A3C566", "#0F2A1C")),
    ),
    materials.caustics: (
        ("water", "sea", "ocean", "pool", "lava", "ice", "wave", "river", "lake", "energy"),
        (("#1B8FB3", "#7FDCE6", "#0A3D5C"), ("#2A6FC9", "#9AD1F5", "#0B2350")),
    ),
    materials.truchet: (
        ("pattern", "wallpaper", "retro", "geometric", "maze", "disco", "abstract", "ornament", "neon"),
        (("#F2545B", "#F5DFBB", "#19323C"), ("#5B8DEF", "#F7C948", "#1B1B3A")),
    ),
}
"""For each material the words that mean it, and the colours it has where nobody names any: the last is its dark."""

_BY_WORD = {word: material for material, (words, _) in MATERIALS.items() for word in words}


@dataclass(frozen=True, slots=True)
class TextureBrief:
    """What to make: exactly `width` x `height` pixels of what `words` mean, in the colours of `palette` or those of the
    words; `seed` decides all that is left open."""

    width: int
    height: int
    seed: int
    words: str = ""
    palette: tuple[Rgb, ...] = ()
    image_format: str = "png"


def tiled(brief: TextureBrief, ground: Picture | None = None) -> bytes:
    """The encoded texture, of `ground` where there is one; the same always gives the same bytes."""
    picture = laid(brief) if ground is None else laid_of(ground, brief)
    if brief.image_format == "png":
        return encoded(picture)
    file = BytesIO()
    picture.save(file, brief.image_format, quality=92)
    return file.getvalue()


def laid(brief: TextureBrief, material: Material | None = None) -> Picture:
    """The texture before it is encoded; `material` overrides what words and seed would choose."""
    shrink = max(1.0, max(brief.width, brief.height) / _COMPUTED_EDGE)
    size = max(1, round(brief.width / shrink)), max(1, round(brief.height / shrink))
    surface = surface_of(brief, *size, material)
    # In strips, because what lies between two systems of colour takes five times the memory of a picture.
    pixels = np.concatenate([to_rgb(surface.lab[row : row + _STRIP]) for row in range(0, size[1], _STRIP)])
    return grained(_enlarged(_begun(pixels), brief.width, brief.height), 3)


def laid_of(ground: Picture, brief: TextureBrief) -> Picture:
    """`ground` with edges that meet, in the colours of the palette or in those of the words."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a picture needs no secrecy
    shrink = max(1.0, max(brief.width, brief.height) / _COMPUTED_EDGE)
    even = tile(ground, (max(1, round(brief.width / shrink)), max(1, round(brief.height / shrink))))
    palette = palette_of(brief.palette or colours_in(subject_of(brief.words)), random)
    coloured = recoloured(even, palette, random.uniform(0.8, 1.0))
    return grained(_enlarged(np.asarray(coloured), brief.width, brief.height), 3)


def surface_of(brief: TextureBrief, width: int, height: int, material: Material | None = None) -> Surface:
    """What a texture is made from, in any size."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a picture needs no secrecy
    said = subject_of(brief.words)
    by_chance = random.choice(list(MATERIALS))
    chosen = material or material_in(brief.words) or by_chance
    own = tuple(parse(colour) for colour in random.choice(MATERIALS[chosen][1]))
    spoken = colours_in(said)
    # Its own dark keeps the joints of a material that is named in one colour.
    colours = brief.palette or ((*spoken, own[-1]) if spoken else own)
    return chosen(Torus(width, height, random), palette_of(colours, random))


def material_in(words: str) -> Material | None:
    """The material that words mean, None where they mean none."""
    return meant(subject_of(words), _BY_WORD)


def _begun(pixels: Pixels) -> Pixels:
    """Cut open where the surface is as it is most everywhere: a joint or a vein at the very edge would look like a
    seam, though it is none."""
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(np.int16), axis=axis, append=np.take(pixels, [0], axis)))
        step = steps.mean(axis=(1 - axis, 2))
        calm = np.where(step <= step.mean(), step, 0)
        pixels = np.roll(pixels, -1 - int(np.argmax(calm)), axis)
    return pixels


def _enlarged(pixels: Pixels, width: int, height: int) -> Picture:
    if pixels.shape[:2] == (height, width):
        return Image.fromarray(pixels)
    down, across = pixels.shape[:2]
    margin = min(_MARGIN, down, across)
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="wrap")
    box = (margin, margin, margin + across, margin + down)
    return Image.fromarray(padded).resize((width, height), Image.Resampling.BICUBIC, box=box)
