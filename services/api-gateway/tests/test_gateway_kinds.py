"""What each kind of media takes, what it gets where nothing is said, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import to_json

from api_gateway.http.bodies import parse
from api_gateway.kinds import RULES
from api_gateway.requests import InvalidRequest, JobRequest, translate
from chassis.errors import Invalid
from schemas.parts import JobSpec, Kind


def ordered(**fields: Any) -> JobSpec:
    """What a body comes to, as the door reads it."""
    return translate(parse(JobRequest, to_json({"prompt": "a fox"} | fields))).spec


def refusal(**fields: Any) -> tuple[str, str]:
    """The field that is refused, and why."""
    with pytest.raises((InvalidRequest, Invalid)) as caught:
        ordered(**fields)
    [error] = caught.value.errors
    return error.pointer, error.detail


USUAL: dict[Kind, dict[str, Any]] = {
    Kind.IMAGE: {"format": "png", "duration_seconds": None, "tileable": False, "max_triangles": None},
    Kind.TEXTURE: {"format": "png", "duration_seconds": None, "tileable": True, "max_triangles": None},
    Kind.ENVIRONMENT_MAP: {"format": "exr", "duration_seconds": None, "tileable": False, "max_triangles": None},
    Kind.VIDEO: {"format": "mp4", "duration_seconds": 8, "loop": False, "tileable": False, "max_triangles": None},
    Kind.SFX: {"format": "mp3", "duration_seconds": 2, "effect": None, "tileable": False, "max_triangles": None},
    Kind.MUSIC: {"format": "mp3", "duration_seconds": 30, "instrumental": True, "genre": None, "max_triangles": None},
    Kind.MODEL_3D: {"format": "glb", "duration_seconds": None, "max_triangles": 50_000, "tileable": False},
}


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_gets_what_it_needs_where_nothing_is_said(kind: Kind) -> None:
    spec = ordered(kind=kind)

    assert spec.kind is kind
    assert {name: getattr(spec, name) for name in USUAL[kind]} == USUAL[kind]


ASKED: list[dict[str, Any]] = [
    {"kind": "video", "duration_seconds": 4, "width": 1920, "height": 1080, "loop": True, "format": "mp4"},
    {"kind": "video", "duration_seconds": 15, "width": 1080, "height": 1920},
    {"kind": "video", "duration_seconds": 4.5, "width": 854, "height": 480},
    {"kind": "video", "width": 1080, "height": 1080, "fit": "pad", "negative_prompt": "people"},
    {"kind": "texture", "width": 4096, "height": 512, "tileable": False, "format": "webp"},
    {"kind": "environment_map", "width": 4096, "height": 2048, "format": "hdr", "negative_prompt": "clouds"},
    {"kind": "environment_map", "width": 256, "height": 128},
    {"kind": "sfx", "duration_seconds": 0.5, "effect": "confetti", "loop": True, "format": "wav"},
    {"kind": "sfx", "duration_seconds": 5, "format": "ogg"},
    {"kind": "music", "duration_seconds": 120, "genre": "hip-hop", "instrumental": False, "format": "mp3"},
    {"kind": "model_3d", "max_triangles": 100, "format": "glb"},
    {"kind": "image", "format": "jpeg"},
    {"kind": "video", "format": "webm"},
    {"kind": "music", "format": "flac"},
]


@pytest.mark.parametrize("body", ASKED, ids=str)
def test_what_is_asked_of_a_kind_is_what_is_ordered(body: dict[str, Any]) -> None:
    spec = ordered(**body)

    assert {name: getattr(spec, name) for name in body} == body


def test_a_crop_has_its_middle_where_it_is_asked_for() -> None:
    assert ordered(kind="image", focus=[0, 0.25]).focus == (0, 0.25)
    assert ordered(kind="image").focus is None


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "hologram"}, "/kind", "image, texture, environment_map, video, sfx, music, model_3d"),
    ({"kind": "environment_map", "format": "png"}, "/format", "of environment_map is exr, hdr, not png"),
    ({"kind": "environment_map", "width": 2048}, "/height", "is needed beside width: the two make the shape of an env"),
    (
        {"kind": "environment_map", "width": 2048, "height": 1025},
        "/width",
        "twice as wide as it is high, not 2048x1025",
    ),
    ({"kind": "environment_map", "width": 254, "height": 127}, "/height", "of environment_map is 128 to 4096 pixels"),
    ({"kind": "environment_map", "fit": "pad"}, "/fit", "is for image, texture, video"),
    ({"kind": "environment_map", "tileable": True}, "/tileable", "is for texture"),
    ({"kind": "image", "format": "mp4"}, "/format", "of image is png, jpeg, webp, not mp4"),
    ({"kind": "video", "format": "png"}, "/format", "of video is mp4, webm, not png"),
    ({"kind": "music", "format": "glb"}, "/format", "of music is mp3, wav, ogg, flac, not glb"),
    ({"kind": "video", "duration_seconds": 3.9}, "/duration_seconds", "of video is 4 to 15, not 3.9"),
    ({"kind": "video", "duration_seconds": 15.1}, "/duration_seconds", "of video is 4 to 15, not 15.1"),
    ({"kind": "sfx", "duration_seconds": 0.4}, "/duration_seconds", "of sfx is 0.5 to 5, not 0.4"),
    ({"kind": "sfx", "duration_seconds": 6}, "/duration_seconds", "of sfx is 0.5 to 5, not 6"),
    ({"kind": "music", "duration_seconds": 29}, "/duration_seconds", "of music is 30 to 120, not 29"),
    ({"kind": "music", "duration_seconds": 1e300}, "/duration_seconds", "of music is 30 to 120"),
    ({"kind": "music", "duration_seconds": "30"}, "/duration_seconds", "number"),
    ({"kind": "model_3d", "duration_seconds": 5}, "/duration_seconds", "is for video, sfx, music"),
    ({"kind": "texture", "width": 511}, "/width", "of texture is 512 to 4096 pixels, not 511"),
    ({"kind": "video", "width": 1280}, "/height", "is needed beside width"),
    ({"kind": "video", "height": 720}, "/width", "is needed beside height"),
    ({"kind": "video", "width": 1922, "height": 1080}, "/width", "of video is 64 to 1920 pixels"),
    ({"kind": "video", "width": 1920, "height": 1920}, "/width", "1080p"),
    ({"kind": "video", "width": 1024, "height": 768}, "/width", "16:9, 9:16, 1:1, not 1024x768"),
    ({"kind": "video", "width": 1281, "height": 721}, "/width", "even edges"),
    ({"kind": "sfx", "width": 640}, "/width", "is for image, texture, environment_map, video"),
    ({"kind": "music", "fit": "pad"}, "/fit", "is for image, texture, video"),
    (
        {"kind": "model_3d", "negative_prompt": "spikes"},
        "/negative_prompt",
        "is for image, texture, environment_map, video, music",
    ),
    ({"kind": "music", "focus": [0.5, 0.5]}, "/focus", "is for image, texture, video"),
    ({"kind": "image", "focus": [0.5, 1.1]}, "/focus/1", "less than or equal to 1"),
    ({"kind": "image", "focus": [0.5]}, "/focus/1", "required"),
    ({"kind": "video", "tileable": True}, "/tileable", "is for texture"),
    ({"kind": "music", "loop": True}, "/loop", "is for video, sfx"),
    ({"kind": "sfx", "instrumental": False}, "/instrumental", "is for music"),
    ({"kind": "sfx", "genre": "jazz"}, "/genre", "is for music"),
    ({"kind": "music", "genre": "polka"}, "/genre", "'electronic', 'orchestral', 'rock'"),
    ({"kind": "music", "effect": "win"}, "/effect", "is for sfx"),
    ({"kind": "sfx", "effect": "boom"}, "/effect", "'click', 'spin', 'flip'"),
    ({"kind": "texture", "max_triangles": 20_000}, "/max_triangles", "is for model_3d"),
    ({"kind": "model_3d", "max_triangles": 99}, "/max_triangles", "100"),
    ({"kind": "model_3d", "max_triangles": 300_001}, "/max_triangles", "300000"),
    ({"kind": "video", "prompt": None}, "/prompt", "is required where there is no template"),
    ({"kind": "sfx", "prompt": None}, "/prompt", "is required where there is no effect or template"),
    ({"kind": "music", "prompt": None}, "/prompt", "is required where there is no genre or template"),
]


@pytest.mark.parametrize(("body", "pointer", "reason"), REFUSED, ids=[str(body) for body, *_ in REFUSED])
def test_what_a_kind_does_not_take_is_refused_with_what_it_takes(
    body: dict[str, Any], pointer: str, reason: str
) -> None:
    told, detail = refusal(**body)

    assert told == pointer
    assert reason in detail


def test_an_effect_or_a_genre_stands_in_for_a_prompt() -> None:
    assert ordered(kind="sfx", effect="win", prompt=None).effect == "win"
    assert ordered(kind="music", genre="jazz", prompt=None).genre == "jazz"
    assert ordered(kind="video", template="video", prompt=None).prompt is None


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_takes_the_fields_of_the_others_with_their_defaults(kind: Kind) -> None:
    defaults = {
        name: JobRequest.model_fields[name].get_default(call_default_factory=True)
        for rules in RULES.values()
        for name in rules.fields
    }

    assert ordered(kind=kind, **defaults) == ordered(kind=kind)
    assert ordered(kind=kind, tileable=False).tileable is False


@pytest.mark.parametrize("example", JobRequest.model_json_schema()["examples"], ids=str)
def test_every_example_of_the_documents_can_be_ordered(example: dict[str, Any]) -> None:
    assert translate(parse(JobRequest, to_json(example)))
