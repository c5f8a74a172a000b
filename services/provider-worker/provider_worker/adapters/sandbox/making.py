"""What runs in a child process: from a plan to the bytes it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from provider_worker.adapters.interface import MediaKind
from provider_worker.adapters.sandbox.brief import chance_of, colours_of, picture_of
from provider_worker.adapters.sandbox.drawing.picture import drawn
from provider_worker.adapters.sandbox.faults import without_tags
from provider_worker.adapters.sandbox.filming.film import FilmBrief, filmed
from provider_worker.adapters.sandbox.lighting.sky import SkyBrief, lit
from provider_worker.adapters.sandbox.modelling.model import ModelBrief, modelled
from provider_worker.adapters.sandbox.sounding.effects import EffectBrief, effect_sounded
from provider_worker.adapters.sandbox.sounding.music import MusicBrief, music_sounded
from provider_worker.adapters.sandbox.tiling.texture import TextureBrief, tiled
from provider_worker.adapters.sandbox.wording import colours_in, subject_of

Plan = Mapping[str, Any]


def made(plan: Plan) -> bytes:
    """The media that a plan asks for; the same plan always gives the same bytes."""
    return _MAKERS[MediaKind(plan["kind"])](plan)


def _image(plan: Plan) -> bytes:
    return drawn(picture_of(plan))


def _texture(plan: Plan) -> bytes:
    words, colours = without_tags(plan["prompt"]), colours_of(plan)
    return tiled(TextureBrief(plan["width"], plan["height"], chance_of(plan), words, colours, plan["format"]))


def _environment_map(plan: Plan) -> bytes:
    words, colours = without_tags(plan["prompt"]), colours_of(plan)
    return lit(SkyBrief(plan["width"], plan["height"], chance_of(plan), words, colours, plan["format"]))


def _video(plan: Plan) -> bytes:
    return filmed(
        FilmBrief(
            width=plan["width"],
            height=plan["height"],
            duration_s=plan["duration_s"],
            seed=chance_of(plan),
            loop=bool(plan["loop"]),
            palette=colours_of(plan) or colours_in(subject_of(without_tags(plan["prompt"]))),
            headline=plan["headline"],
            film_format=plan["format"],
        )
    )


def _effect(plan: Plan) -> bytes:
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


def _music(plan: Plan) -> bytes:
    return music_sounded(
        MusicBrief(
            duration_s=plan["duration_s"],
            seed=chance_of(plan),
            genre=plan["genre"],
            words=subject_of(without_tags(plan["prompt"])),
            sound_format=plan["format"],
        )
    )


def _model(plan: Plan) -> bytes:
    words, colours = without_tags(plan["prompt"]), colours_of(plan)
    return modelled(ModelBrief(chance_of(plan), plan["max_triangles"], words, colours))


_MAKERS: Mapping[MediaKind, Callable[[Plan], bytes]] = {
    MediaKind.IMAGE: _image,
    MediaKind.TEXTURE: _texture,
    MediaKind.ENVIRONMENT_MAP: _environment_map,
    MediaKind.VIDEO: _video,
    MediaKind.SFX: _effect,
    MediaKind.MUSIC: _music,
    MediaKind.MODEL_3D: _model,
}
