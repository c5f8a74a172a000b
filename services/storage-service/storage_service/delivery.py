"""How bytes are sent: which part, under which headers (RFC 9110 §13, §14; R121, R122)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from storage_service.addresses import Admission
from storage_service.assets import Served
from storage_service.content_types import content_type

# A page that shows an asset gets its bytes and nothing that runs, whatever is in them.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag",
    "Referrer-Policy": "no-referrer",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_PUBLIC_S = 60
_SIGNED_S = 300

_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_LONGEST_HEADER = 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


class OutOfRangeError(ValueError):
    """Not one byte of what was asked for exists."""


def requested_span(header: str | None, size: int) -> Span | None:
    """The one range that a `Range` header asks for, None for all `size` bytes.

    Other units, several ranges and nonsense are passed over, as RFC 9110 §14.2 allows. Raises `OutOfRangeError`.
    """
    match = _RANGE.fullmatch(header.strip()) if header and len(header) <= _LONGEST_HEADER else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), size)
    start, end = int(first), int(last) + 1 if last else size
    if last and end <= start:
        return None
    if start >= size:
        raise OutOfRangeError(first)
    return Span(start, min(end, size))


def _suffix(length: int, size: int) -> Span:
    if not length:
        raise OutOfRangeError("0")
    return Span(max(0, size - length), size)


def etag(asset: Served) -> str:
    """The strong validator of an asset's bytes: their SHA-256."""
    return f'"{asset.sha256}"'


def has_it(if_none_match: str | None, asset: Served) -> bool:
    """Whether the visitor has these bytes already; weak and strong tags count alike (RFC 9110 §13.1.2)."""
    if not if_none_match or len(if_none_match) > _LONGEST_HEADER:
        return False
    return if_none_match.strip() == "*" or asset.sha256 in _TAG.findall(if_none_match)


def range_applies(if_range: str | None, asset: Served) -> bool:
    """Whether a range of what the visitor saw before is a range of what is here (RFC 9110 §13.1.5)."""
    return if_range is None or if_range.strip() == etag(asset)


@dataclass(frozen=True, slots=True)
class Request:
    """What a request for bytes says beside its address."""

    method: str = "GET"
    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How to answer it: `span` is what to send of the bytes, None for a head without them."""

    status: int
    headers: dict[str, str]
    span: Span | None = None


def answer(asset: Served, admission: Admission, expires_at: int | None, request: Request) -> Answer:
    """The answer to an admitted visitor. `expires_at`: the end of a signed address, seconds since 1970.

    Raises `OutOfRangeError`.
    """
    about = {"ETag": etag(asset), "Cache-Control": _cache_control(asset, admission, expires_at)}
    if has_it(request.if_none_match, asset):
        return Answer(304, about)
    about |= {
        "Accept-Ranges": "bytes",
        "Content-Type": content_type(asset.mime).mime,
        "Content-Disposition": disposition(asset),
    }
    if request.method == "HEAD":
        return Answer(200, {**about, "Content-Length": str(asset.size)})
    span = requested_span(request.range, asset.size) if range_applies(request.if_range, asset) else None
    if span is None:
        return Answer(200, {**about, "Content-Length": str(asset.size)}, Span(0, asset.size))
    part = {"Content-Range": f"bytes {span.start}-{span.end - 1}/{asset.size}", "Content-Length": str(span.size)}
    return Answer(206, {**about, **part}, span)


def _cache_control(asset: Served, admission: Admission, expires_at: int | None) -> str:
    if admission is Admission.VERSIONED:
        return _FOR_EVER
    if admission is Admission.PUBLIC:
        return f"public, max-age={_PUBLIC_S}"
    left = 0 if expires_at is None else max(0, expires_at - int(asset.now))
    return f"private, max-age={min(left, _SIGNED_S)}"


def disposition(asset: Served) -> str:
    """Shown in place or saved, under the last part of its logical name (RFC 6266)."""
    name = asset.path.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    kind = "inline" if content_type(asset.mime).shown else "attachment"
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{extended}'
