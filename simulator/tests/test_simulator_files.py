"""Result links: how long they live, and what a fault makes of a download."""

from __future__ import annotations

import gzip
import time
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator.testing import RunningSimulator

KEY = {"Authorization": "Bearer sim-nanobanana"}


def made(simulator: RunningSimulator, tag: str = "") -> Any:
    prompt = f"A fox [[sim:{tag}]]" if tag else "A fox"
    body = {"prompt": prompt, "width": 320, "height": 200, "reference_id": "r1"}
    return simulator.http.post(f"{simulator.url}/nanobanana/generate", json=body, headers=KEY).json()


def asked_again(simulator: RunningSimulator) -> Any:
    return simulator.http.get(f"{simulator.url}/nanobanana/status", params={"reference_id": "r1"}, headers=KEY).json()


def test_a_link_dies_when_its_time_is_over_and_a_fresh_one_lives(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    link = made(simulator)["image_url"]
    simulator.advance(3599)
    assert simulator.http.get(link).status_code == 200
    simulator.advance(1.1)
    assert simulator.http.get(link).status_code == 403
    assert simulator.http.get(asked_again(simulator)["image_url"]).status_code == 200


def test_a_dead_link_may_be_gone(simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="nanobanana", expired_status=410, url_ttl_s=0)
    assert simulator.http.get(made(simulator)["image_url"]).status_code == 410


def test_a_link_that_was_changed_is_refused(simulator: RunningSimulator) -> None:
    link = made(simulator)["image_url"]
    for other in (link.replace("expires=1", "expires=2"), link.replace("/0.png", "/1.png"), link.split("?")[0]):
        assert simulator.http.get(other).status_code == 403


def test_an_expired_link_is_followed_by_one_that_lives(simulator: RunningSimulator) -> None:
    assert simulator.http.get(made(simulator, "expired_urlx1")["image_url"]).status_code == 403
    assert simulator.http.get(asked_again(simulator)["image_url"]).status_code == 200


def test_links_that_are_always_expired(simulator: RunningSimulator) -> None:
    links = [made(simulator, "expired_url")["image_url"], asked_again(simulator)["image_url"]]
    assert [simulator.http.get(link).status_code for link in links] == [403, 403]


def test_a_file_has_its_type_and_length(simulator: RunningSimulator) -> None:
    answer = simulator.http.get(made(simulator)["image_url"])
    assert answer.headers["content-type"] == "image/png"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert simulator.calls(endpoint="file")[0]["reference"] == "r1"


@pytest.mark.parametrize(
    ("how", "kind", "magic"),
    [
        ("truncated", "image/png", b"\x89PNG"),
        ("html", "text/html; charset=utf-8", b"<!doctype"),
        ("empty", "image/png", b""),
        ("wrong_mime", "image/png", b"\xff\xd8"),
        ("garbage", "image/png", b"\x89PNG"),
    ],
)
def test_damaged_files(simulator: RunningSimulator, how: str, kind: str, magic: bytes) -> None:
    answer = simulator.http.get(made(simulator, f"corrupt:{how}")["image_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content.startswith(magic)
    if how != "wrong_mime":
        with pytest.raises((OSError, SyntaxError)):
            Image.open(BytesIO(answer.content)).load()


def test_a_file_damaged_once_is_whole_the_next_time(simulator: RunningSimulator) -> None:
    link = made(simulator, "corruptx1:truncated")["image_url"]
    first, second = (simulator.http.get(link).content for _ in range(2))
    assert len(first) < len(second)
    Image.open(BytesIO(second)).load()


def test_a_chain_of_redirects_ends_at_the_file(simulator: RunningSimulator) -> None:
    answer = simulator.http.get(made(simulator, "file:redirect=3")["image_url"], follow_redirects=True)
    assert (answer.status_code, len(answer.history)) == (200, 3)


def test_a_redirect_may_go_in_circles(simulator: RunningSimulator) -> None:
    with pytest.raises(httpx.TooManyRedirects):
        simulator.http.get(made(simulator, "file:redirect_loop")["image_url"], follow_redirects=True)


@pytest.mark.parametrize(
    ("where", "host"),
    [("private", "10.0.0.1"), ("loopback", "127.0.0.1"), ("metadata", "169.254.169.254")],
)
def test_a_redirect_may_lead_where_nobody_should_go(simulator: RunningSimulator, where: str, host: str) -> None:
    answer = simulator.http.get(made(simulator, f"file:redirect_{where}")["image_url"])
    assert (answer.status_code, httpx.URL(answer.headers["location"]).host) == (302, host)


def test_a_file_may_end_before_its_length(simulator: RunningSimulator) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        simulator.http.get(made(simulator, "file:short")["image_url"])


@pytest.mark.parametrize(("fault", "length"), [("endless", None), ("huge", str(8 << 30))])
def test_a_file_may_be_more_than_anybody_takes(simulator: RunningSimulator, fault: str, length: str | None) -> None:
    taken = 0
    with simulator.http.stream("GET", made(simulator, f"file:{fault}")["image_url"]) as answer:
        assert answer.headers.get("content-length") == length
        for part in answer.iter_raw():
            taken += len(part)
            if taken > 8 << 20:
                break
    assert taken > 8 << 20
    assert simulator.get("health")["ok"]


def test_a_small_file_may_unpack_to_a_quarter_of_a_gibibyte(simulator: RunningSimulator) -> None:
    with simulator.http.stream("GET", made(simulator, "file:gzip_bomb")["image_url"]) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) < 2 << 20
    with gzip.open(BytesIO(packed)) as unpacked:
        size = 0
        while part := unpacked.read(8 << 20):
            size += len(part)
    assert size == 256 << 20


def test_a_file_may_drip(simulator: RunningSimulator) -> None:
    started, seen = time.monotonic(), 0
    with simulator.http.stream("GET", made(simulator, "file:drip")["image_url"]) as answer:
        for part in answer.iter_raw():
            seen += len(part)
            if seen == 2:
                break
    assert time.monotonic() - started > 0.9


def test_a_rule_makes_downloads_fail(simulator: RunningSimulator) -> None:
    link = made(simulator)["image_url"]
    simulator.fault("http503", provider="nanobanana", endpoint="file", count=1)
    simulator.fault("file:redirect_metadata", provider="nanobanana", endpoint="file", count=1)
    assert [simulator.http.get(link).status_code for _ in range(3)] == [503, 302, 200]
    assert [call["fault"] for call in simulator.calls(endpoint="file")] == [
        "http503@file",
        "file:redirect_metadata@file",
        None,
    ]
