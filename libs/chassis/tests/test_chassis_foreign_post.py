"""Posting to foreign addresses, and asking beforehand whether one may be used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from chassis.answer_heads import MOST_INFORMATIONAL
from chassis.foreign import ForeignError, Limits, Policy, Reply, check_address, guarded_client, post

LIMITS = Limits(max_bytes=4096, seconds=5)
Talk = Callable[[bytes, asyncio.StreamWriter], None]


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """A server that gives each request's head and body to `talk`; its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                talk(head + await reader.readexactly(length), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def sent(origin: str, *, limits: Limits = LIMITS, times: int = 1) -> list[Reply]:
    policy = Policy(trusted=frozenset({origin}))
    async with guarded_client(policy) as client:
        return [await post(client, f"{origin}/hook", b"{}", limits, headers={"x-mark": "1"}) for _ in range(times)]


async def test_a_body_is_posted_with_its_headers_and_the_head_of_the_answer_comes_back() -> None:
    requests: list[bytes] = []

    def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno")

    async with serving(talk) as origin:
        [reply] = await sent(origin)
    assert (reply.status, reply.headers["retry-after"]) == (503, "7")
    [request] = requests
    assert request.startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"x-mark: 1\r\n" in request
    assert request.endswith(b"\r\n\r\n{}")


async def test_a_redirect_is_an_answer_and_no_way_to_go() -> None:
    requests: list[bytes] = []

    def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(b"HTTP/1.1 307 There\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async with serving(talk) as origin:
        assert [reply.status for reply in await sent(origin)] == [307]
    assert len(requests) == 1


async def test_a_cookie_is_not_kept_for_the_next_request() -> None:
    requests: list[bytes] = []

    def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: mine=1; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with serving(talk) as origin:
        await sent(origin, times=2)
    assert [b"cookie" in request.lower() for request in requests] == [False, False]


async def test_a_status_counts_though_its_body_never_ends_or_breaks_off() -> None:
    def drips(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")

    def breaks(_: bytes, writer: asyncio.StreamWriter) -> None:
        drips(b"", writer)
        writer.close()

    for talk in (drips, breaks):
        async with serving(talk) as origin:
            assert [reply.status for reply in await sent(origin, limits=Limits(4096, seconds=0.3))] == [200]


async def test_no_answer_in_time_or_none_at_all_is_an_error_in_words() -> None:
    def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        """Says nothing."""

    def hangs_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(silent) as origin:
        with pytest.raises(ForeignError, match="the request took too long"):
            await sent(origin, limits=Limits(4096, seconds=0.2))
    async with serving(hangs_up) as origin:
        with pytest.raises(ForeignError, match="the request broke off"):
            await sent(origin)


async def test_an_address_is_checked_as_the_client_would_and_no_connection_is_made() -> None:
    where = {"good.example": ["93.184.216.34"], "bad.example": ["93.184.216.34", "10.0.0.1"]}

    async def resolve(host: str, _: int) -> Sequence[str]:
        if host not in where:
            raise OSError("no such name")
        return where[host]

    policy = Policy(hosts=("*",), trusted=frozenset({"http://bad.example:9000"}))
    for url in ("https://good.example/a?b", "https://GOOD.example.:8443/", "http://bad.example:9000/a"):
        await check_address(policy, url, resolve=resolve)
    refused = {
        "http://good.example/": "only https",
        "https://bad.example/": "private network",
        "https://nowhere.example/": "cannot be resolved",
        "https://user:word@good.example/": "password",
        "https://[::1/": "not an address",
        "https:///": "lead nowhere",
    }
    for url, words in refused.items():
        with pytest.raises(ForeignError, match=words):
            await check_address(policy, url, resolve=resolve)


async def test_a_name_that_is_not_resolved_in_time_is_refused() -> None:
    async def resolve(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(ForeignError, match="cannot be resolved"):
        await check_address(Policy(hosts=("*",)), "https://slow.example/", resolve=resolve, seconds=0.05)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_a_server_may_say_a_few_times_that_it_is_still_there(cut: int) -> None:
    def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        answer = CONTINUE * MOST_INFORMATIONAL + OK
        for start in range(0, len(answer), cut):
            writer.write(answer[start : start + cut])

    async with serving(talk) as origin:
        assert [reply.status for reply in await sent(origin, times=2)] == [200, 200]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (CONTINUE * (MOST_INFORMATIONAL + 1) + OK, "broke off"),
        (CONTINUE.replace(b"\r", b"") * (MOST_INFORMATIONAL + 1) + OK, "broke off"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * (MOST_INFORMATIONAL + 1) + OK, "broke off"),
        (b"HTTP/1.1 100 C\r\nx: " + b"y" * 200_000, "broke off"),
    ],
)
async def test_a_server_that_says_nothing_else_is_hung_up_on(answer: bytes, said: str) -> None:
    async with serving(lambda _, writer: writer.write(answer)) as origin:
        with pytest.raises(ForeignError, match=said):
            await sent(origin)


async def test_what_a_body_looks_like_does_not_matter() -> None:
    body = CONTINUE * 100
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with serving(lambda _, writer: writer.write(head + body)) as origin:
        assert [reply.status for reply in await sent(origin, times=2)] == [200, 200]
