"""What each kind of media takes: its fields, formats, lengths and sizes (R46-R57)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.parts import Kind

Format = Literal["png", "jpeg", "webp", "mp4", "webm", "mp3", "wav", "ogg", "flac", "glb", "exr", "hdr"]
Genre = Literal["electronic", "orchestral", "rock", "jazz", "ambient", "pop", "hip-hop"]
Effect = Literal["click", "spin", "flip", "scratch", "match", "win", "lose", "countdown", "reveal", "confetti"]

FEWEST_TRIANGLES, MOST_TRIANGLES = 100, 300_000

_PICTURES: tuple[Format, ...] = ("png", "jpeg", "webp")
_SOUNDS: tuple[Format, ...] = ("mp3", "wav", "ogg", "flac")
_PIXELS = frozenset({"width", "height", "fit", "focus", "negative_prompt", "style_capsule_id"})


@dataclass(frozen=True, slots=True)
class Span:
    """From `shortest` to `longest` seconds; `usual` is made where none is asked for."""

    shortest: float
    longest: float
    usual: float


@dataclass(frozen=True, slots=True)
class KindRules:
    """What may be asked of one kind. `formats`: the first is made where none is asked for.

    `fields` are those of the request that not every kind takes. `edges` are the shortest and the longest edge in
    pixels; None means the bounds of the request itself. `subject`: fields that may stand in for a prompt.
    """

    formats: tuple[Format, ...]
    fields: frozenset[str]
    span: Span | None = None
    edges: tuple[int, int] | None = None
    subject: frozenset[str] = frozenset()


RULES: Mapping[Kind, KindRules] = {
    Kind.IMAGE: KindRules(_PICTURES, _PIXELS),
    Kind.TEXTURE: KindRules(_PICTURES, _PIXELS | {"tileable"}, edges=(512, 4096)),
    Kind.ENVIRONMENT_MAP: KindRules(
        ("exr", "hdr"), frozenset({"width", "height", "negative_prompt", "style_capsule_id"}), edges=(128, 4096)
    ),
    Kind.VIDEO: KindRules(("mp4", "webm"), _PIXELS | {"duration_seconds", "loop"}, Span(4, 15, 8), (64, 1920)),
    Kind.SFX: KindRules(
        _SOUNDS, frozenset({"duration_seconds", "loop", "effect"}), Span(0.5, 5, 2), subject=frozenset({"effect"})
    ),
    Kind.MUSIC: KindRules(
        _SOUNDS,
        frozenset({"duration_seconds", "instrumental", "genre", "negative_prompt"}),
        Span(30, 120, 30),
        subject=frozenset({"genre"}),
    ),
    Kind.MODEL_3D: KindRules(("glb",), frozenset({"max_triangles", "style_capsule_id"})),
}
"""The kinds that can be asked for."""

VIDEO_SHAPES = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0}
VIDEO_LINES = 1080
"""The shorter edge of a video has at most so many pixels (1080p)."""
_SHAPE_TOLERANCE = 0.01


def video_size_problem(width: int, height: int) -> str | None:
    """Why no video of this size is made, or None (R46). H.264 codes colour for two by two pixels: edges are even."""
    if min(width, height) > VIDEO_LINES:
        return f"a video has at most 1080p: its shorter edge is at most {VIDEO_LINES}, not {min(width, height)}"
    if width % 2 or height % 2:
        return f"a video has even edges, not {width}x{height}"
    shape = width / height
    if not any(abs(shape / wanted - 1) <= _SHAPE_TOLERANCE for wanted in VIDEO_SHAPES.values()):
        return f"a video is {', '.join(VIDEO_SHAPES)}, not {width}x{height}"
    return None


def sky_size_problem(width: int, height: int) -> str | None:
    """Why no environment map of this size is made, or None (R57): it goes all around, and half around from top to
    bottom."""
    return None if width == 2 * height else f"an environment map is twice as wide as it is high, not {width}x{height}"


def takers_of(field: str) -> str:
    """The kinds that take a field, in words."""
    return ", ".join(kind for kind, rules in RULES.items() if field in rules.fields)
