"""What is asked of each kind of model behind Interactions, and what it costs. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from provider_worker.adapters import google_videos
from provider_worker.adapters.config import ProviderConfig
from provider_worker.adapters.google_videos import frame, seconds_of, shape_of, sizes_of
from provider_worker.adapters.interface import (
    Capability,
    ErrorCode,
    GenerationRequest,
    InputMedia,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Span,
)

_BEGINNING = ("first_frame", "reference")
SHORTEST_VIDEO_S, LONGEST_VIDEO_S = 3, 10
LONGEST_NEWER_VIDEO_S = 15
CLIP = Span(1.0, 30.0)
SONG = Span(1.0, 160.0)
SONG_MARGIN = 1.1
"""A length that is asked for in words is kept about: what is too long can be cut."""


@dataclass(frozen=True, slots=True)
class Order:
    """One request: its contents, each picture as it was given, and the upper bound of its price in micro-units."""

    micros: int
    units: Mapping[str, int]
    words: str
    picture: InputMedia | None = None
    form: Mapping[str, Any] = field(default_factory=dict)


class Video:
    """Omni: whole seconds, lying or upright, perhaps from a picture. `content` is the type of what it makes."""

    content = "video"
    mime = "video/mp4"
    kinds = google_videos.KINDS
    ops = google_videos.OPS
    formats = google_videos.FORMATS

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._sizes = sizes_of(("360p", "720p", "1080p", "4k"))
        longest = LONGEST_NEWER_VIDEO_S if "omni-1.2" in config.model else LONGEST_VIDEO_S
        self._lengths = range(SHORTEST_VIDEO_S, longest + 1)

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=MediaKind.VIDEO,
                op=op,
                mode="async",
                sizes=list(self._sizes),
                durations=list(self._lengths),
                formats=self.formats,
                webhook=True,
                cancel="best_effort",
                result_ttl_s=google_videos.TWO_DAYS_S,
            )
            for op in self.ops
        ]

    def order(self, req: GenerationRequest) -> Order:
        """Raises INVALID_REQUEST for what it does not make, and for what has no price."""
        shape, seconds = shape_of(req, self._sizes), seconds_of(req, self._lengths)
        micros = self._config.prices.of("second", model=self._config.model, resolution=shape.resolution)
        picture = frame(req, *_BEGINNING)
        if others := sorted({given.role for given in req.inputs} - set(_BEGINNING)):
            raise _invalid(f"{self._config.model} takes no {', '.join(others)}")
        if (picture is None) is not (req.op is Op.TEXT_TO_VIDEO):
            raise _invalid(f"{req.op} with{'out' if picture is None else ''} a picture to begin with")
        form = {
            "type": "video",
            "delivery": "uri",
            "aspect_ratio": shape.ratio,
            "resolution": shape.resolution,
            "duration": f"{seconds}s",
        }
        return Order(seconds * micros, {"second": seconds}, req.prompt, picture, form)


class Music:
    """Lyria: clips of half a minute, or songs. It has no field for a length or for voices: both are said in words."""

    content = "audio"
    mime = "audio/mpeg"
    kinds = (MediaKind.MUSIC,)
    ops = (Op.TEXT_TO_MUSIC,)
    formats = ("mp3",)

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._clips = "clip" in config.model

    @property
    def _span(self) -> Span:
        return CLIP if self._clips else SONG

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=MediaKind.MUSIC,
                op=Op.TEXT_TO_MUSIC,
                mode="async",
                sizes=(),
                durations=self._span,
                formats=self.formats,
                supports=frozenset({"instrumental"}),
                webhook=True,
                cancel="best_effort",
            )
        ]

    def order(self, req: GenerationRequest) -> Order:
        """Raises INVALID_REQUEST for what it does not make, and for what has no price."""
        span, seconds = self._span, req.duration_s
        if seconds is not None and not span.shortest <= seconds <= span.longest:
            raise _invalid(f"duration is {seconds:g} s, but must be {span.shortest:g} to {span.longest:g}")
        words = [req.prompt]
        if req.options.get("instrumental", True):
            words.append("Instrumental only, no vocals.")
        if seconds is not None and not self._clips:
            words.append(f"Length: about {ceil(seconds * SONG_MARGIN)} seconds.")
        micros = self._config.prices.of("generation", model=self._config.model)
        return Order(micros, {"generation": 1}, "\n".join(words))


Model = Video | Music


def told_by_hash(order: Order) -> list[Mapping[str, Any]]:
    """The contents without bytes: what was sent can be told from anything else by it."""
    if order.picture is None:
        return _contents(order, None)
    return _contents(order, {"sha256": hashlib.sha256(order.picture.data or b"").hexdigest()})


def with_bytes(order: Order, data: str) -> list[Mapping[str, Any]]:
    """The contents as they are sent; `data` is the picture in base64."""
    return _contents(order, {"data": data} if order.picture else None)


def _contents(order: Order, picture: Mapping[str, str] | None) -> list[Mapping[str, Any]]:
    text = {"type": "text", "text": order.words}
    if picture is None or order.picture is None:
        return [text]
    return [{"type": "image", "mime_type": order.picture.mime, **picture}, text]


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT)
