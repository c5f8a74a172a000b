"""What the sandbox makes: for each kind its formats, sizes and lengths, and the unit it is paid by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from provider_worker.adapters.config import CURRENCY, Price, Prices
from provider_worker.adapters.interface import Capability, Cost, MediaKind, Op, Span

FEWEST_TRIANGLES, MOST_TRIANGLES, USUAL_TRIANGLES = 100, 300_000, 50_000
MOST_LINES = 1080
"""The shorter edge of a film has at most so many pixels."""

_MS_IN = {"second": 1_000, "minute": 60_000}
_PICTURES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_SKIES = {"exr": "image/x-exr", "hdr": "image/vnd.radiance"}
_FILMS = {"mp4": "video/mp4", "webm": "video/webm"}
_SOUNDS = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac"}
_SEEN = frozenset({"seed", "palette"})


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is made: `formats` with their MIME types, `unit` of its price, seconds a child may take for one.

    `edges` are the shortest and the longest edge in pixels, `span` bounds its seconds, of which `usual_s` are made
    where none are asked for; None where the kind has no such thing. `op` makes it of words, `of_inputs` of inputs too.
    """

    op: Op
    formats: Mapping[str, str]
    supports: frozenset[str]
    unit: Literal["image", "second", "minute", "generation"]
    timeout_s: float
    edges: tuple[int, int] | None = None
    span: Span | None = None
    usual_s: float | None = None
    of_inputs: tuple[Op, ...] = ()


KINDS: Mapping[MediaKind, KindRule] = {
    MediaKind.IMAGE: KindRule(
        Op.TEXT_TO_IMAGE,
        _PICTURES,
        _SEEN | {"headline"},
        "image",
        timeout_s=60.0,
        edges=(16, 4096),
        of_inputs=(Op.EDIT_IMAGE, Op.INPAINT),
    ),
    MediaKind.TEXTURE: KindRule(
        Op.TEXT_TO_IMAGE,
        _PICTURES,
        _SEEN | {"tileable"},
        "image",
        timeout_s=60.0,
        edges=(16, 4096),
        of_inputs=(Op.EDIT_IMAGE,),
    ),
    MediaKind.ENVIRONMENT_MAP: KindRule(Op.TEXT_TO_IMAGE, _SKIES, _SEEN, "image", 60.0, (32, 4096)),
    MediaKind.VIDEO: KindRule(
        Op.TEXT_TO_VIDEO,
        _FILMS,
        _SEEN | {"headline", "loop"},
        "second",
        timeout_s=240.0,
        edges=(16, 1920),
        span=Span(0.5, 15.0),
        usual_s=8.0,
        of_inputs=(Op.IMAGE_TO_VIDEO,),
    ),
    MediaKind.SFX: KindRule(
        Op.TEXT_TO_SFX,
        _SOUNDS,
        frozenset({"seed", "effect", "loop"}),
        "generation",
        timeout_s=30.0,
        span=Span(0.5, 5.0),
        usual_s=2.0,
    ),
    MediaKind.MUSIC: KindRule(
        Op.TEXT_TO_MUSIC,
        _SOUNDS,
        frozenset({"seed", "genre", "instrumental"}),
        "minute",
        timeout_s=120.0,
        span=Span(1.0, 120.0),
        usual_s=30.0,
    ),
    MediaKind.MODEL_3D: KindRule(
        Op.TEXT_TO_3D,
        {"glb": "model/gltf-binary"},
        _SEEN | {"pbr", "max_triangles"},
        "generation",
        timeout_s=120.0,
        of_inputs=(Op.IMAGE_TO_3D, Op.RETEXTURE),
    ),
}

PRICES = Prices(
    "sandbox",
    (
        Price("image", 40_000),
        Price("second", 50_000),
        Price("minute", 100_000),
        Price("generation", 20_000, {"kind": "sfx"}),
        Price("generation", 200_000, {"kind": "model_3d"}),
    ),
)
"""Where no route file says what it costs."""


def capabilities() -> Sequence[Capability]:
    """One for each kind, and for each way it is made."""
    return [
        Capability(
            kind=kind,
            op=op,
            mode="sync",
            sizes=None if rule.edges else (),
            size_rule=_size_rule(kind, rule),
            durations=rule.span,
            formats=tuple(rule.formats),
            supports=rule.supports,
            idempotency="client_ref",
        )
        for kind, rule in KINDS.items()
        for op in (rule.op, *rule.of_inputs)
    ]


def _size_rule(kind: MediaKind, rule: KindRule) -> Mapping[str, int]:
    if rule.edges is None:
        return {}
    shape = {MediaKind.ENVIRONMENT_MAP: {"max_ratio": 2}, MediaKind.VIDEO: {"multiple": 2}}
    return {"min_edge": rule.edges[0], "max_edge": rule.edges[1], **shape.get(kind, {})}


def check_price(kind: MediaKind, prices: Prices) -> None:
    """Raises INVALID_REQUEST where one of a kind has no price."""
    if kind in KINDS:
        cost(kind, None, prices, "estimated")


def cost(kind: MediaKind, duration_s: float | None, prices: Prices, basis: Literal["estimated", "reported"]) -> Cost:
    """What one of a kind costs, by the millisecond and upwards where it has a length.

    Raises INVALID_REQUEST where it has no price.
    """
    rule = KINDS[kind]
    micros = prices.of(rule.unit, kind=kind)
    seconds = rule.usual_s if duration_s is None else duration_s
    if rule.unit not in _MS_IN or seconds is None:
        return Cost(micros, CURRENCY, basis, {rule.unit: 1}, prices.version)
    milliseconds = round(seconds * 1000)
    return Cost(-(-micros * milliseconds // _MS_IN[rule.unit]), CURRENCY, basis, {"millisecond": milliseconds})
