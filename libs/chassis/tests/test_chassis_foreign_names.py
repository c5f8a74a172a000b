"""Whatever a foreign address is written like, it is asked or refused: nothing else comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chassis.foreign import ForeignError, Limits, Policy, download, guarded_client, origin_of

LIMITS = Limits(max_bytes=1000, seconds=5)
POLICY = Policy(hosts=("fal.media", "*.fal.media"))
LONG = "a" * 70

NO_NAMES = [
    f"https://{LONG}.fal.media/",
    "https://.fal.media/",
    "https://a..fal.media/",
    f"https://{'a.' * 200}fal.media/",
    "https://a%00b.fal.media/",
    "https://a+b.fal.media/",
    "https://a.fal.media:0/",
    "https://a.fal.media:65536/",
    "https://a.fal.media:-1/",
]
HOSTILE = [
    *NO_NAMES,
    "https://xn--a.fal.media/",
    "https://xn--.fal.media/",
    "https://xn--a/",
    "https://\ud800.fal.media/",
    "https://a.fal.media/\ud800",
    "https://\u200d.fal.media/",
    "https://ａ．fal.media/",
    "https://a.fal.media:１/",
    f"https://a.fal.media/{'x' * 70_000}",
    "https://[::1",
    "https://[v1.x]/",
    "https://[::1%25eth0]/",
    "https://fal.media\\@evil.example/",
    "https:///1.png",
    "https://",
    "https:a.fal.media",
    "\x00https://a.fal.media/",
    "1.png",
]


async def nowhere(host: str, port: int) -> Sequence[str]:
    """As strict as the socket module, and knows no name."""
    host.encode("idna")
    port.to_bytes(2)
    if "\0" in host:
        raise ValueError
    raise OSError


async def read(client: httpx.AsyncClient, url: str) -> None:
    with pytest.raises(ForeignError):
        [chunk async for chunk in download(client, url, LIMITS)]


async def asked(url: str) -> list[str]:
    """The names that are asked for on the way to a refusal."""
    names: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        names.append(host)
        return await nowhere(host, port)

    async with guarded_client(POLICY, resolve=resolve) as client:
        await read(client, url)
    return names


async def redirected(location: str) -> None:
    """Is sent on to `location`, by a server that has set a cookie."""
    headers = [(b"location", location.encode("utf-8", "surrogatepass")), (b"set-cookie", b"a=b")]
    answers = httpx.MockTransport(lambda request: httpx.Response(302, headers=headers))
    async with httpx.AsyncClient(transport=answers) as client:
        await read(client, "https://a.fal.media/")


@pytest.mark.parametrize("url", HOSTILE, ids=[ascii(url)[:40] for url in HOSTILE])
async def test_a_hostile_address_is_refused_and_raises_nothing_else(url: str) -> None:
    await asked(url)
    await redirected(url)


@pytest.mark.parametrize("url", NO_NAMES, ids=[url[:40] for url in NO_NAMES])
async def test_what_can_be_no_name_is_not_asked_for(url: str) -> None:
    assert await asked(url) == []


@pytest.mark.parametrize("host", [LONG + ".example", "a..example"])
async def test_a_name_that_the_system_cannot_even_ask_for_has_no_address(host: str) -> None:
    """An operator may have written it."""
    origin = f"https://{host}"
    async with guarded_client(Policy(trusted=frozenset({origin_of(origin)}))) as client:
        await read(client, origin)


def test_an_origin_is_named_as_it_is_written() -> None:
    assert origin_of("https://xn--bcher-kva.example/") == "https://xn--bcher-kva.example:443"
    assert origin_of("https://bücher.example/") == "https://xn--bcher-kva.example:443"
    for url in HOSTILE:
        with suppress(ForeignError):
            origin_of(url)


_HOSTS = st.builds(lambda name, rest: f"https://{name}.fal.media{rest}", st.text(max_size=80), st.text(max_size=20))


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.text().map("https://".__add__), st.from_regex(r"https?://.*", fullmatch=True), _HOSTS))
@example("https://a.fal.media:99999")
def test_any_text_is_an_address_that_is_asked_or_refused(url: str) -> None:
    async def both() -> None:
        await asked(url)
        await redirected(url)

    asyncio.run(both())
