"""What runs in a child process: from a plan to the bytes it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from provider_worker.adapters.interface import MediaKind
from provider_worker.adapters.sandbox.brief import chance_of, colours_of, picture_of
from provider_worker.adapters.sandbox.drawing.colours import Rgb
from provider_worker.adapters.sandbox.drawing.editing import edited, inpainted
from provider_worker.adapters.sandbox.drawing.picture import drawn, saved
from provider_worker.adapters.sandbox.faults import without_tags
from provider_worker.adapters.sandbox.filming.film import FilmBrief, filmed
from provider_worker.adapters.sandbox.filming.from_pictures import filmed_from
from provider_worker.adapters.sandbox.lighting.sky import SkyBrief, lit
from provider_worker.adapters.sandbox.looking import NOTHING, Looked
from provider_worker.adapters.sandbox.modelling.model import ModelBrief, modelled, retextured
from provider_worker.adapters.sandbox.sounding.effects import EffectBrief, effect_sounded
from provider_worker.adapters.sandbox.sounding.music import MusicBrief, music_sounded
from provider_worker.adapters.sandbox.tiling.texture import TextureBrief, tiled
from provider_worker.adapters.sandbox.wording import colours_in, subject_of

Plan = Mapping[str, Any]


def made(plan: Plan, looked: Looked = NOTHING) -> bytes:
    """The media that a plan asks for, of what its inputs show; the same always gives the same bytes."""
    return _MAKERS[MediaKind(plan["kind"])](plan, looked)


def _image(plan: Plan, looked: Looked) -> bytes:
    brief = picture_of(plan)
    if looked.ground is None:
        return drawn(replace(brief, palette=looked.style or brief.palette))
    brief, ground = replace(brief, palette=_colours(plan, looked)), looked.ground.picture()
    if looked.mask is not None:
        return saved(inpainted(brief, ground, looked.mask.picture()), brief.image_format)
    return drawn(brief, edited(ground))


def _texture(plan: Plan, looked: Looked) -> bytes:
    words, colours = without_tags(plan["prompt"]), looked.style or colours_of(plan)
    ground = looked.ground.picture() if looked.ground else None
    if ground is not None:
        colours = _colours(plan, looked)
    brief = TextureBrief(plan["width"], plan["height"], chance_of(plan), words, colours, plan["format"])
    return tiled(brief, ground)


def _environment_map(plan: Plan, looked: Looked) -> bytes:
    words, colours = without_tags(plan["prompt"]), colours_of(plan)
    return lit(SkyBrief(plan["width"], plan["height"], chance_of(plan), words, colours, plan["format"]))


def _video(plan: Plan, looked: Looked) -> bytes:
    brief = FilmBrief(
        width=plan["width"],
        height=plan["height"],
        duration_s=plan["duration_s"],
        seed=chance_of(plan),
        loop=bool(plan["loop"]),
        palette=_colours(plan, looked),
        headline=plan["headline"],
        film_format=plan["format"],
    )
    if looked.ground is None:
        return filmed(brief)
    return filmed_from(brief, looked.ground.picture(), looked.last.picture() if looked.last else None)


def _effect(plan: Plan, looked: Looked) -> bytes:
    return effect_sounded(
        EffectBrief(
            duration_s=plan["duration_s"],
            seed=chance_of(plan),
            effect=plan["effect"],
            words=subject_of(without_tags(plan["prompt"])),
            loop=bool(plan["loop"]),
            sound_format=plan["format"],
        )
    )


def _music(plan: Plan, looked: Looked) -> bytes:
    return music_sounded(
        MusicBrief(
            duration_s=plan["duration_s"],
            seed=chance_of(plan),
            genre=plan["genre"],
            words=subject_of(without_tags(plan["prompt"])),
            sound_format=plan["format"],
        )
    )


def _model(plan: Plan, looked: Looked) -> bytes:
    colours = looked.style or looked.own or colours_of(plan)
    brief = ModelBrief(chance_of(plan), plan["max_triangles"], without_tags(plan["prompt"]), colours)
    if looked.model is not None:
        return retextured(brief, looked.model)
    return modelled(brief, looked.ground.picture() if looked.ground else None)


def _colours(plan: Plan, looked: Looked) -> tuple[Rgb, ...]:
    """Those of the style, else those that were asked for, else those that what it builds on has already."""
    return looked.style or colours_of(plan) or colours_in(subject_of(without_tags(plan["prompt"]))) or looked.own


_MAKERS: Mapping[MediaKind, Callable[[Plan, Looked], bytes]] = {
    MediaKind.IMAGE: _image,
    MediaKind.TEXTURE: _texture,
    MediaKind.ENVIRONMENT_MAP: _environment_map,
    MediaKind.VIDEO: _video,
    MediaKind.SFX: _effect,
    MediaKind.MUSIC: _music,
    MediaKind.MODEL_3D: _model,
}
