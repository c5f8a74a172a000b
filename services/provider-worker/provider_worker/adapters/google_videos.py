"""What Google's video services have in common: the shapes and lengths they make, the files they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chassis.foreign import ForeignError, origin_of
from provider_worker.adapters.interface import (
    Artifact,
    ErrorCode,
    GenerationRequest,
    InputMedia,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
)
from provider_worker.adapters.sizes import nearest

FORMATS = ("mp4",)
KINDS = (MediaKind.VIDEO,)
OPS = (Op.TEXT_TO_VIDEO, Op.IMAGE_TO_VIDEO)
LONGEST_PROMPT = 20_000
TWO_DAYS_S = 2 * 24 * 3600

_POLICY = re.compile(r"polic|safety|usage guidelines|sensitive|responsible ai|prohibited", re.IGNORECASE)
_SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}


@dataclass(frozen=True, slots=True)
class Shape:
    """A size they make, by the words it is asked with."""

    resolution: str
    ratio: str


def sizes_of(resolutions: Iterable[str]) -> Mapping[tuple[int, int], Shape]:
    """Lying and upright, in pixels."""
    found = {}
    for resolution in resolutions:
        width, height = _SIZES[resolution]
        found[width, height] = Shape(resolution, "16:9")
        found[height, width] = Shape(resolution, "9:16")
    return found


def shape_of(req: GenerationRequest, sizes: Mapping[tuple[int, int], Shape]) -> Shape:
    """The one that loses the least of the asked size."""
    native = nearest(req.width, req.height, sizes)
    return sizes[native.width, native.height]


def seconds_of(req: GenerationRequest, lengths: Sequence[int]) -> int:
    """The shortest of `lengths` that is long enough: what is too long can be cut. Raises INVALID_REQUEST."""
    if req.duration_s is None:
        return lengths[0]
    if not 0 < req.duration_s <= lengths[-1]:
        raise _invalid(f"duration is {req.duration_s:g} s, but must be more than 0 and at most {lengths[-1]}")
    return next(seconds for seconds in lengths if seconds >= req.duration_s)


def frame(req: GenerationRequest, *roles: str) -> InputMedia | None:
    """The picture in one of these roles, with its bytes; raises INVALID_REQUEST where there are several, or none."""
    found = [media for media in req.inputs if media.role in roles]
    if len(found) > 1:
        raise _invalid(f"there are {len(found)} pictures for one place: {', '.join(roles)}")
    if found and found[0].data is None:
        raise _invalid("a picture has to come with its bytes")
    return found[0] if found else None


def file_of(url: str, mime: str, base_url: str) -> Artifact:
    """A file of the service, which wants the key; what lies elsewhere does not get it."""
    try:
        own = origin_of(url) == origin_of(base_url)
    except ForeignError:
        own = False
    return Artifact(mime, url=url, needs_key=own)


def refused(message: str, code: str) -> ProviderError:
    """By policy: nothing was made of it, and nothing is charged."""
    return ProviderError(ErrorCode.CONTENT_POLICY, message, provider_code=code)


def failed(message: str, code: str) -> ProviderError:
    """A job that ended with an error: of policy where it says so, else of the provider."""
    if _POLICY.search(message):
        return refused(message, code)
    return ProviderError(ErrorCode.PROVIDER_ERROR, message, provider_code=code)


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT)
