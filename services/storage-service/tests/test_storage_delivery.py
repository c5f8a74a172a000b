from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objects.signing import derive_key, sign
from storage_service.addresses import Admission, Visit, admit
from storage_service.assets import Served
from storage_service.content_types import content_type
from storage_service.delivery import OutOfRangeError, Request, Span, answer, disposition, has_it, requested_span

NOW = 1_900_000_000.0
KEY = derive_key("a secret of the house")
PRIVATE = Served(
    id=UUID(int=1),
    tenant_id=UUID(int=2),
    sha256="ab" * 32,
    size=1000,
    mime="image/png",
    path="t/run/banner/hero.png",
    is_public=False,
    revision=3,
    deleted=False,
    now=NOW,
)
PUBLIC = replace(PRIVATE, is_public=True)
SIGNED = sign(KEY, PRIVATE.grant, now=NOW)
GOOD = Visit(expires=str(SIGNED.expires), signature=SIGNED.signature)


@pytest.mark.parametrize(
    ("asset", "visit", "expected"),
    [
        (PUBLIC, Visit(), Admission.PUBLIC),
        (PUBLIC, Visit(version="3"), Admission.VERSIONED),
        (PUBLIC, Visit(version="2"), Admission.UNKNOWN),
        (PUBLIC, Visit(version="３"), Admission.UNKNOWN),
        (PUBLIC, GOOD, Admission.PUBLIC),
        (PRIVATE, GOOD, Admission.SIGNED),
        (PRIVATE, Visit(), Admission.UNKNOWN),
        (PRIVATE, Visit(version="3"), Admission.UNKNOWN),
        (PRIVATE, Visit(expires=GOOD.expires), Admission.FORGED),
        (PRIVATE, Visit(signature=GOOD.signature), Admission.FORGED),
        (replace(PRIVATE, now=SIGNED.expires), GOOD, Admission.EXPIRED),
        (replace(PRIVATE, deleted=True), GOOD, Admission.UNKNOWN),
        (replace(PUBLIC, deleted=True), Visit(version="3"), Admission.UNKNOWN),
        (None, Visit(), Admission.UNKNOWN),
        (None, GOOD, Admission.FORGED),
    ],
)
def test_who_may_see_what(asset: Served | None, visit: Visit, expected: Admission) -> None:
    assert admit(asset, visit, KEY) is expected


def test_a_signature_says_nothing_about_whether_there_is_an_asset() -> None:
    forged = Visit(expires="1900000001", signature="1.AAAA")
    assert admit(None, forged, KEY) is admit(PRIVATE, forged, KEY)
    assert admit(None, Visit(), KEY) is admit(PRIVATE, Visit(), KEY)


@given(st.integers(0, 1200), st.integers(0, 1200))
def test_a_range_is_what_a_slice_would_be(first: int, last: int) -> None:
    content = bytes(number % 251 for number in range(1000))
    if last < first:
        assert requested_span(f"bytes={first}-{last}", 1000) is None
    elif first >= 1000:
        with pytest.raises(OutOfRangeError):
            requested_span(f"bytes={first}-{last}", 1000)
    else:
        span = requested_span(f"bytes={first}-{last}", 1000)
        assert span is not None
        assert content[span.start : span.end] == content[first : last + 1]


@given(st.integers(0, 2000))
def test_open_and_suffix_ranges(count: int) -> None:
    if count >= 1000:
        with pytest.raises(OutOfRangeError):
            requested_span(f"bytes={count}-", 1000)
    else:
        assert requested_span(f"bytes={count}-", 1000) == Span(count, 1000)
    if count:
        assert requested_span(f"bytes=-{count}", 1000) == Span(max(0, 1000 - count), 1000)
    else:
        with pytest.raises(OutOfRangeError):
            requested_span("bytes=-0", 1000)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-5",
        "bytes=0-1,5-6",
        "bytes=1 - 2",
        "bytes=--5",
        "bytes=" + "0-0," * 5000,
        "bytes=" + "9" * 30 + "-",
    ],
)
def test_what_is_no_single_range_is_passed_over(header: str | None) -> None:
    assert requested_span(header, 1000) is None


@given(st.text(max_size=80))
def test_no_range_header_asks_for_what_is_not_there(header: str) -> None:
    try:
        span = requested_span("bytes=" + header, 1000)
    except OutOfRangeError:
        return
    assert span is None or 0 <= span.start < span.end <= 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f'"{PUBLIC.sha256}"', True),
        (f'W/"{PUBLIC.sha256}"', True),
        (f'"other", "{PUBLIC.sha256}"', True),
        ("*", True),
        ('"other"', False),
        (PUBLIC.sha256, False),
        (None, False),
        ("", False),
    ],
)
def test_bytes_that_a_visitor_has_are_known_by_their_hash(header: str | None, expected: bool) -> None:
    assert has_it(header, PUBLIC) is expected


def test_a_range_of_other_bytes_than_before_is_answered_with_all() -> None:
    asked = Request(range="bytes=0-9", if_range='"what it was"')
    assert answer(PUBLIC, Admission.PUBLIC, None, asked).status == 200
    asked = Request(range="bytes=0-9", if_range=f'"{PUBLIC.sha256}"')
    assert answer(PUBLIC, Admission.PUBLIC, None, asked).status == 206


@pytest.mark.parametrize(
    ("admission", "expires_at", "expected"),
    [
        (Admission.VERSIONED, None, "public, max-age=31536000, immutable"),
        (Admission.PUBLIC, None, "public, max-age=60"),
        (Admission.SIGNED, int(NOW) + 3600, "private, max-age=300"),
        (Admission.SIGNED, int(NOW) + 20, "private, max-age=20"),
    ],
)
def test_only_an_address_that_never_shows_anything_else_is_cached_for_ever(
    admission: Admission, expires_at: int | None, expected: str
) -> None:
    assert answer(PUBLIC, admission, expires_at, Request()).headers["Cache-Control"] == expected


@pytest.mark.parametrize(
    ("mime", "served", "kind"),
    [
        ("image/png", "image/png", "inline"),
        ("IMAGE/JPEG; charset=x", "image/jpeg", "inline"),
        ("model/gltf-binary", "model/gltf-binary", "inline"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        ("text/html", "application/octet-stream", "attachment"),
        ("text/javascript", "application/octet-stream", "attachment"),
        ("image/png\r\nX-Evil: 1", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
    ],
)
def test_nothing_that_could_run_is_served_as_what_it_is(mime: str, served: str, kind: str) -> None:
    headers = answer(replace(PUBLIC, mime=mime), Admission.PUBLIC, None, Request()).headers
    assert headers["Content-Type"] == served
    assert headers["Content-Disposition"].startswith(kind + ";")


@given(st.text(max_size=60))
def test_a_file_name_never_breaks_out_of_its_header(name: str) -> None:
    header = disposition(replace(PUBLIC, path=f"t/r/{name}"))
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


def test_a_file_name_in_another_script_is_given_both_ways() -> None:
    header = disposition(replace(PUBLIC, path="t/r/猫.png"))
    assert header == "inline; filename=\"_.png\"; filename*=UTF-8''%E7%8C%AB.png"


def test_every_type_of_media_has_its_own_content_type() -> None:
    """R118."""
    for mime in ("image/png", "video/mp4", "audio/mpeg", "model/gltf-binary", "image/vnd.radiance", "application/zip"):
        assert content_type(mime).mime == mime


@pytest.mark.parametrize(
    ("mime", "extension"),
    [
        ("image/png", ".png"),
        ("image/jpeg", ".jpg"),
        ("image/webp", ".webp"),
        ("image/x-exr", ".exr"),
        ("image/vnd.radiance", ".hdr"),
        ("video/mp4", ".mp4"),
        ("video/webm", ".webm"),
        ("audio/wav", ".wav"),
        ("audio/mpeg", ".mp3"),
        ("audio/ogg", ".ogg"),
        ("audio/flac", ".flac"),
        ("model/gltf-binary", ".glb"),
    ],
)
def test_what_is_made_is_served_as_what_it_is_under_its_own_extension(mime: str, extension: str) -> None:
    headers = answer(replace(PUBLIC, mime=mime), Admission.PUBLIC, None, Request()).headers
    assert (headers["Content-Type"], content_type(mime).extension) == (mime, extension)
    assert headers["Content-Disposition"].startswith("inline;")
