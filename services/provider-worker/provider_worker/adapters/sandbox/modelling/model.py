"""One 3D model from one brief (R53)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from media.seams import tile
from provider_worker.adapters.sandbox.drawing.canvas import Picture
from provider_worker.adapters.sandbox.drawing.colours import Rgb, to_lab
from provider_worker.adapters.sandbox.modelling import things
from provider_worker.adapters.sandbox.modelling.dressing import dressed, skins_of
from provider_worker.adapters.sandbox.modelling.given import Bare
from provider_worker.adapters.sandbox.modelling.glb import bound, maps_of
from provider_worker.adapters.sandbox.modelling.mesh import Mesh
from provider_worker.adapters.sandbox.modelling.things import THINGS, Thing
from provider_worker.adapters.sandbox.tiling import materials
from provider_worker.adapters.sandbox.tiling.materials import Material, Surface
from provider_worker.adapters.sandbox.tiling.texture import TextureBrief, material_in, surface_of
from provider_worker.adapters.sandbox.wording import meant, subject_of

_EDGE = 512
"""Pixels of a skin's maps, which are laid around a thing several times."""
_SHARE = 0.9
"""Of the triangles there may be: whoever asks for fewer than 50,000 gets fewer."""

_BY_WORD = {word: thing for thing, words in THINGS.items() for word in words}
_SKINS: Mapping[Thing, tuple[tuple[Material, ...], Material]] = {
    things.vase: ((materials.marble, materials.scallops, materials.terrazzo, materials.truchet), materials.brushed),
    things.crystals: ((materials.caustics, materials.marble), materials.cobbles),
    things.wheel: ((materials.planks, materials.truchet, materials.hexagons), materials.brushed),
    things.creature: ((materials.grass, materials.scallops, materials.weave), materials.marble),
    things.planet: ((materials.marble, materials.caustics, materials.ripples), materials.cobbles),
    things.trophy: ((materials.brushed,), materials.marble),
    things.tree: ((materials.grass,), materials.planks),
    things.chest: ((materials.planks,), materials.brushed),
}
"""What a thing is made of where no words say it, and what its smaller parts are made of."""


@dataclass(frozen=True, slots=True)
class ModelBrief:
    """What to make: a thing that `words` mean, of at most `max_triangles`, in the colours of `palette` or of the words;
    `seed` decides all that is left open."""

    seed: int
    max_triangles: int
    words: str = ""
    palette: tuple[Rgb, ...] = ()


def modelled(brief: ModelBrief, ground: Picture | None = None) -> bytes:
    """The GLB file; the same always gives the same bytes. `ground` is laid around the thing as its base colour."""
    thing, meshes = built(brief)
    random = Random(f"{brief.seed} skin")  # noqa: S311 - chance in a model needs no secrecy
    first, second = _SKINS[thing]
    surface = _skin(brief, material_in(brief.words) or random.choice(first))
    if ground is not None:
        surface = replace(surface, lab=to_lab(np.asarray(tile(ground, (_EDGE, _EDGE)))))
    return bound(meshes, {0: maps_of(surface), 1: maps_of(_accent(brief, second))}, thing.__name__)


def retextured(brief: ModelBrief, bare: Bare) -> bytes:
    """The GLB file of a model of others in new skins; its triangles are as many as they were."""
    skins = [_skin(brief), _accent(brief)] if skins_of(bare) > 1 else [_skin(brief)]
    return dressed(bare, [maps_of(surface) for surface in skins])


def _skin(brief: ModelBrief, material: Material | None = None) -> Surface:
    return surface_of(TextureBrief(_EDGE, _EDGE, brief.seed, brief.words, brief.palette), _EDGE, _EDGE, material)


def _accent(brief: ModelBrief, material: Material | None = None) -> Surface:
    """Of smaller parts."""
    return _skin(replace(brief, seed=brief.seed + 1, words="", palette=tuple(reversed(brief.palette))), material)


def built(brief: ModelBrief, thing: Thing | None = None) -> tuple[Thing, list[Mesh]]:
    """The thing without its skin; `thing` overrides what words and seed would choose."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a model needs no secrecy
    by_chance = random.choice(list(THINGS))
    chosen = thing or meant(subject_of(brief.words), _BY_WORD) or by_chance
    return chosen, chosen(random, max(100, int(brief.max_triangles * _SHARE)))
