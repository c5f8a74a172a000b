"""From a request to the sandbox's wire body, which is JSON and says all that there is to make."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from provider_worker.adapters.interface import ErrorCode, GenerationRequest, MediaKind, ProviderError
from provider_worker.adapters.sandbox.building import inputs_planned
from provider_worker.adapters.sandbox.drawing.colours import Rgb, named_in, parse
from provider_worker.adapters.sandbox.drawing.picture import Brief, seed_of
from provider_worker.adapters.sandbox.faults import without_tags
from provider_worker.adapters.sandbox.kinds import (
    FEWEST_TRIANGLES,
    KINDS,
    MOST_LINES,
    MOST_TRIANGLES,
    USUAL_TRIANGLES,
    KindRule,
)
from provider_worker.adapters.sandbox.sounding.effect_recipes import RECIPES as EFFECTS
from provider_worker.adapters.sandbox.sounding.genres import GENRES

LONGEST_PROMPT = 32_000

_LONGEST_HEADLINE = 160
_LARGEST_SEED = 2**31
_QUOTED = re.compile(
    r"\"([^\"\n]{1,160})\"|“([^”\n]{1,160})”|«([^»\n]{1,160})»|(?:^|(?<=[\s(:]))'([^'\n]{1,160})'(?=[\s.,;:!?)]|$)"
)
_OWN: Mapping[MediaKind, tuple[str, ...]] = {
    MediaKind.VIDEO: ("loop",),
    MediaKind.SFX: ("loop", "effect"),
    MediaKind.MUSIC: ("genre",),
    MediaKind.MODEL_3D: ("max_triangles",),
}
"""The options that a kind has of its own."""


def planned(req: GenerationRequest) -> dict[str, Any]:
    """The sandbox's wire body; raises INVALID_REQUEST."""
    rule = KINDS.get(req.kind)
    if rule is None or req.op not in (rule.op, *rule.of_inputs):
        raise _invalid(f"the sandbox does not make {req.kind} by {req.op}")
    _check_size(req, rule)
    if req.format not in rule.formats:
        raise _invalid(f"format is {req.format!r}, but must be one of {', '.join(rule.formats)}")
    if not req.prompt.strip():
        raise _invalid("the prompt is empty")
    if len(req.prompt) > LONGEST_PROMPT:
        raise _invalid(f"the prompt has {len(req.prompt)} characters, {LONGEST_PROMPT} are allowed")
    words = without_tags(req.prompt)
    palette = req.options.get("palette")
    headline = req.options.get("headline")
    return {
        "reference": req.request_id,
        "kind": req.kind.value,
        "prompt": req.prompt,
        "width": req.width if rule.edges else 0,
        "height": req.height if rule.edges else 0,
        "duration_s": _seconds(req, rule),
        "format": req.format,
        "seed": req.seed,
        "palette": _palette(palette) if palette else ["#{:02x}{:02x}{:02x}".format(*one) for one in named_in(words)],
        "headline": str(headline)[:_LONGEST_HEADLINE] if headline else _quoted(words),
        **_own(req),
        **inputs_planned(req),
    }


def picture_of(plan: Mapping[str, Any]) -> Brief:
    """What a planned image asks to be drawn."""
    return Brief(
        width=plan["width"],
        height=plan["height"],
        seed=chance_of(plan),
        palette=colours_of(plan),
        headline=plan["headline"],
        image_format=plan["format"],
    )


def colours_of(plan: Mapping[str, Any]) -> tuple[Rgb, ...]:
    """The colours that were given, or that the words name in hex."""
    return tuple(parse(text) for text in plan["palette"])


def seed_in(plan: Mapping[str, Any]) -> int:
    """The seed a request is made with, whoever chose it: with its prompt it gives the same bytes again.

    Without a given one the reference decides too, or four pictures of one prompt would be the same one.
    """
    given: int | None = plan["seed"]
    chosen = seed_of(f"{plan['reference']} {without_tags(plan['prompt'])}") % _LARGEST_SEED
    return chosen if given is None else given


def chance_of(plan: Mapping[str, Any]) -> int:
    """What decides all that a request leaves open: its seed and its words."""
    return seed_of(f"{seed_in(plan)} {without_tags(plan['prompt'])}")


def sha256_of(plan: Mapping[str, Any]) -> str:
    """What a request asks for, so that the same reference with another request can be told."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _check_size(req: GenerationRequest, rule: KindRule) -> None:
    if rule.edges is None:
        return
    smallest, largest = rule.edges
    for name, pixels in (("width", req.width), ("height", req.height)):
        if not smallest <= pixels <= largest:
            raise _invalid(f"{name} is {pixels}, but must be {smallest} to {largest} pixels")
    if req.kind is MediaKind.ENVIRONMENT_MAP and req.width != 2 * req.height:
        raise _invalid(f"an environment map is twice as wide as it is high, not {req.width}x{req.height}")
    if req.kind is MediaKind.VIDEO and (req.width % 2 or req.height % 2):
        raise _invalid(f"a video has even edges, not {req.width}x{req.height}")
    if req.kind is MediaKind.VIDEO and min(req.width, req.height) > MOST_LINES:
        raise _invalid(f"the shorter edge of a video is at most {MOST_LINES} pixels, not {min(req.width, req.height)}")


def _seconds(req: GenerationRequest, rule: KindRule) -> float | None:
    if rule.span is None:
        return None
    if req.duration_s is None:
        return rule.usual_s
    if not rule.span.shortest <= req.duration_s <= rule.span.longest:
        raise _invalid(
            f"duration is {req.duration_s:g} s, but must be {rule.span.shortest:g} to {rule.span.longest:g} s"
        )
    return req.duration_s


def _own(req: GenerationRequest) -> dict[str, Any]:
    own = {name: req.options.get(name) for name in _OWN.get(req.kind, ())}
    if req.kind is MediaKind.MUSIC and req.options.get("instrumental") is False:
        raise _invalid("the sandbox has no voice: it makes instrumental music alone")
    for name, among in (("effect", EFFECTS), ("genre", GENRES)):
        if own.get(name) is not None and own[name] not in among:
            raise _invalid(f"{name} is {str(own[name])[:40]!r}, but must be one of {', '.join(among)}")
    if "max_triangles" in own:
        own["max_triangles"] = most = own["max_triangles"] or USUAL_TRIANGLES
        if not FEWEST_TRIANGLES <= most <= MOST_TRIANGLES:
            raise _invalid(f"max_triangles is {most}, but must be {FEWEST_TRIANGLES} to {MOST_TRIANGLES}")
    return own


def _palette(given: Any) -> list[str]:
    try:
        return [str(text) for text in given if parse(str(text))]
    except (TypeError, ValueError) as error:
        raise _invalid(f"palette: {error}") from None


def _quoted(prompt: str) -> str:
    found = _QUOTED.search(prompt)
    return next((group.strip() for group in found.groups() if group), "") if found else ""


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, http_status=400)
