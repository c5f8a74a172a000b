"""From a request's words to a brief for the drawing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from provider_worker.adapters.interface import ErrorCode, GenerationRequest, ProviderError
from provider_worker.adapters.sandbox.drawing.colours import named_in, parse
from provider_worker.adapters.sandbox.drawing.picture import Brief, seed_of
from provider_worker.adapters.sandbox.faults import without_tags

SMALLEST, LARGEST = 16, 4096
LONGEST_PROMPT = 32_000
FORMATS = ("png", "jpeg", "webp")

_LONGEST_HEADLINE = 160
_QUOTED = re.compile(
    r"\"([^\"\n]{1,160})\"|“([^”\n]{1,160})”|«([^»\n]{1,160})»|(?:^|(?<=[\s(:]))'([^'\n]{1,160})'(?=[\s.,;:!?)]|$)"
)


def planned(req: GenerationRequest) -> dict[str, Any]:
    """The sandbox's wire body; raises INVALID_REQUEST."""
    for name, pixels in (("width", req.width), ("height", req.height)):
        if not SMALLEST <= pixels <= LARGEST:
            raise _invalid(f"{name} is {pixels}, but must be {SMALLEST} to {LARGEST} pixels")
    if req.format not in FORMATS:
        raise _invalid(f"format is {req.format!r}, but must be one of {', '.join(FORMATS)}")
    if not req.prompt.strip():
        raise _invalid("the prompt is empty")
    if len(req.prompt) > LONGEST_PROMPT:
        raise _invalid(f"the prompt has {len(req.prompt)} characters, {LONGEST_PROMPT} are allowed")
    words = without_tags(req.prompt)
    palette = req.options.get("palette")
    headline = req.options.get("headline")
    return {
        "reference": req.request_id,
        "prompt": req.prompt,
        "width": req.width,
        "height": req.height,
        "format": req.format,
        "seed": req.seed,
        "palette": _palette(palette) if palette else ["#{:02x}{:02x}{:02x}".format(*one) for one in named_in(words)],
        "headline": str(headline)[:_LONGEST_HEADLINE] if headline else _quoted(words),
    }


def brief_of(plan: Mapping[str, Any]) -> Brief:
    """What a planned request asks to be drawn."""
    return Brief(
        width=plan["width"],
        height=plan["height"],
        seed=_seed(plan),
        palette=tuple(parse(text) for text in plan["palette"]),
        headline=plan["headline"],
        image_format=plan["format"],
    )


def _seed(plan: Mapping[str, Any]) -> int:
    """Without a seed the reference decides too, or four pictures of one prompt would be the same one."""
    given: int | None = plan["seed"]
    return seed_of(f"{plan['reference']} {without_tags(plan['prompt'])}") if given is None else given


def sha256_of(plan: Mapping[str, Any]) -> str:
    """What a request asks for, so that the same reference with another request can be told."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


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
