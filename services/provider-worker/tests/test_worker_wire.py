"""What a provider's answer, or its silence, says about a paid call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from provider_worker.adapters.interface import Artifact, ErrorCode, Outcome, ProviderError
from provider_worker.adapters.wire import Account, Answer, Wire, retry_after, shown, status_error

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def provider(talk: Talk, *, read_s: float = 5.0) -> AsyncIterator[Wire]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(await reader.readuntil(b"\r\n\r\n"), writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire("acme", Account(f"http://127.0.0.1:{port}/v1", {"Authorization": "Bearer secret"}, read_s=read_s))
    try:
        yield wire
    finally:
        await wire.close()
        server.close()


def saying(status: str, body: bytes = b"{}", *headers: str) -> Talk:
    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        head = "\r\n".join(
            [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        )
        writer.write(head.encode() + body)
        await writer.drain()

    return talk


async def cut(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silence(request: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_request_goes_below_the_base_url_with_the_account_s_key() -> None:
    seen: list[bytes] = []

    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await saying("200 OK", b'{"id": 7}')(request, writer)

    async with provider(talk) as wire:
        answer = await wire.submit("POST", "/jobs", json={"prompt": "a fox"})
    assert answer.ok
    assert answer.json() == {"id": 7}
    assert seen[0].startswith(b"POST /v1/jobs HTTP/1.1")
    assert b"authorization: bearer secret" in seen[0].lower()


async def test_the_key_goes_to_no_other_address_that_a_provider_names() -> None:
    async with provider(saying("200 OK")) as wire:
        with pytest.raises(ProviderError, match="not its own"):
            await wire.ask("GET", "https://elsewhere.example.com/v1/jobs/1")
        assert (await wire.ask("GET", wire._url("/jobs/1"))).ok


async def test_nobody_listening_means_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        wire = Wire("acme", Account(f"http://127.0.0.1:{taken.getsockname()[1]}", {}))
        with pytest.raises(ProviderError) as caught:
            await wire.submit("POST", "/jobs")
        await wire.close()
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.TEMPORARY, Outcome.NOT_SENT)
    assert caught.value.retryable


@pytest.mark.parametrize("talk", [cut, silence], ids=["cut", "silence"])
async def test_a_lost_answer_leaves_a_submit_unknown_and_a_question_repeatable(talk: Talk) -> None:
    async with provider(talk, read_s=0.2) as wire:
        with pytest.raises(ProviderError) as submitted:
            await wire.submit("POST", "/jobs")
        with pytest.raises(ProviderError) as asked:
            await wire.ask("GET", "/jobs/1")
    assert submitted.value.outcome is Outcome.UNKNOWN
    assert not submitted.value.retryable
    assert asked.value.outcome is Outcome.REJECTED
    assert asked.value.retryable


async def test_an_answer_that_is_no_json_leaves_a_submit_unknown() -> None:
    async with provider(saying("200 OK", b"<html>")) as wire:
        answer = await wire.submit("POST", "/jobs")
    with pytest.raises(ProviderError) as caught:
        answer.json()
    assert caught.value.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "own", "code", "outcome", "scope"),
    [
        (400, True, ErrorCode.INVALID_REQUEST, Outcome.REJECTED, "request"),
        (401, True, ErrorCode.AUTH_ERROR, Outcome.REJECTED, "account"),
        (402, True, ErrorCode.QUOTA_EXCEEDED, Outcome.REJECTED, "account"),
        (403, True, ErrorCode.AUTH_ERROR, Outcome.REJECTED, "account"),
        (404, True, ErrorCode.INVALID_REQUEST, Outcome.REJECTED, "model"),
        (408, True, ErrorCode.TEMPORARY, Outcome.REJECTED, "request"),
        (422, True, ErrorCode.INVALID_REQUEST, Outcome.REJECTED, "request"),
        (429, True, ErrorCode.RATE_LIMIT, Outcome.REJECTED, "account"),
        (500, True, ErrorCode.TEMPORARY, Outcome.REJECTED, "request"),
        (503, True, ErrorCode.TEMPORARY, Outcome.REJECTED, "request"),
        (502, False, ErrorCode.TEMPORARY, Outcome.UNKNOWN, "request"),
        (504, True, ErrorCode.TEMPORARY, Outcome.UNKNOWN, "request"),
    ],
)
def test_a_status_means_what_the_table_says(
    status: int, own: bool, code: ErrorCode, outcome: Outcome, scope: str
) -> None:
    error = status_error(Answer("acme", status, {}, b"", submitting=True), own=own)
    assert (error.code, error.outcome, error.scope) == (code, outcome, scope)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 +9999999999999999999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_a_delay_is_read_from_milliseconds_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


async def test_a_result_comes_from_a_listed_host_alone_and_its_failure_is_no_failure_of_the_job() -> None:
    async with provider(saying("403 Forbidden")) as wire:
        with pytest.raises(ProviderError) as elsewhere:
            [chunk async for chunk in wire.fetch(Artifact("image/png", url="https://169.254.169.254/secret"))]
        expired = wire._url("/files/1")
        with pytest.raises(ProviderError) as gone:
            [chunk async for chunk in wire.fetch(Artifact("image/png", url=expired))]
    assert elsewhere.value.code is ErrorCode.CORRUPT_OUTPUT
    assert (gone.value.code, gone.value.outcome) == (ErrorCode.TEMPORARY, Outcome.ACCEPTED)


def test_a_message_is_short_and_on_one_line() -> None:
    assert shown("no\n good  \t word") == "no good word"
    assert len(shown("x" * 1000)) == 301
