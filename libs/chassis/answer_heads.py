"""How an answer may begin: a stranger's informational heads (1xx) would be read for as long as he sends them."""

from __future__ import annotations

import re
import ssl
from typing import Any

import httpcore

MOST_INFORMATIONAL = 8
"""Before one answer; a server that is busy sends one now and then."""
_END = re.compile(rb"\n\r?\n")
# 101 ends HTTP on its connection: nothing informational follows it.
_INFORMATIONAL = re.compile(rb"HTTP/\d\.\d 1(?!01)")


class HeadLimitedStream(httpcore.AsyncNetworkStream):
    """A connection that breaks off where an answer begins with more informational heads than servers send."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head = b""
        self._informational = 0
        self._in_heads = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        if self._in_heads:
            self._look_at(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # A request is written whole before its answer is read.
        self._in_heads, self._informational, self._head = True, 0, b""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return HeadLimitedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _look_at(self, data: bytes) -> None:
        self._head += data
        start = 0
        for found in _END.finditer(self._head):
            if not _INFORMATIONAL.match(self._head, start):
                self._in_heads, self._head = False, b""
                return
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                raise httpcore.RemoteProtocolError("too many informational answers")
            start = found.end()
        # No longer than the parser behind takes a head: it breaks off at 100 KiB.
        self._head = self._head[start:]
