"""A load generator that costs little: prepared requests over keep-alive connections of plain asyncio streams."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit


class Connection:
    """One keep-alive connection to the gateway. It knows just as much HTTP as our own gateway speaks."""

    def __init__(self, gateway: str, api_key: str) -> None:
        address = urlsplit(gateway)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._head = f"Host: {address.netloc}\r\nAuthorization: Bearer {api_key}\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{headers}{length}\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        content = await self._reader.readexactly(int(fields.get("content-length", 0)))
        return int(lines[0].split(" ", 2)[1]), content

    async def post(self, path: str, body: Mapping[str, Any] | Sequence[Any]) -> tuple[int, bytes]:
        """A POST with an idempotency key of its own."""
        return await self.request("POST", path, json.dumps(body).encode(), f"Idempotency-Key: {uuid.uuid4().hex}\r\n")

    def close(self) -> None:
        """Drops the connection."""
        if self._writer is not None:
            self._writer.close()


async def closed_loop(
    gateway: str, api_key: str, body: Mapping[str, Any], *, clients: int, requests: int
) -> tuple[float, list[float]]:
    """Seconds for `requests` POSTs of `body` by `clients` that each wait for the answer, and each answer's seconds."""
    left = iter(range(requests))
    waits: list[float] = []

    async def client() -> None:
        connection = Connection(gateway, api_key)
        for _ in left:
            began = time.perf_counter()
            status, content = await connection.post("/api/v1/jobs", body)
            waits.append(time.perf_counter() - began)
            if status != 202:
                raise RuntimeError(f"not accepted: {status} {content[:300]!r}")
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began, waits


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
