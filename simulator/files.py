"""Result links as they are fetched: the bytes, or what a fault makes of them."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import zlib
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from simulator import damage, links
from simulator.answers import CutAfter, CutOff
from simulator.faults import Fault, Stage, one_of
from simulator.generation import Generation
from simulator.store import calls, generations
from simulator.store import faults as fault_store

if TYPE_CHECKING:
    from simulator.simulation import Simulation

FILE = "file"
_MANY_ZEROS = bytes(1 << 16)
_BOMB_MIB = 256
_HUGE_BYTES = 8 << 30
_SIZES = {"huge": _HUGE_BYTES}
_DRIP_S = 1.0
_ELSEWHERE = {
    "redirect_private": "http://10.0.0.1/secret.png",
    "redirect_loopback": "http://127.0.0.1:9/secret.png",
    "redirect_metadata": "http://169.254.169.254/latest/meta-data/",
}


async def served(simulation: Simulation, request: Request) -> Response:
    """Answer `/files/{provider}/{generation}/{index}.{ending}`, and log it."""
    provider, external_id = request.path_params["provider"], request.path_params["generation"]
    now = simulation.clock.now()

    def arrive(connection: sqlite3.Connection) -> tuple[int, Generation | None, list[Fault]]:
        call = calls.arrived(
            connection, now=now, provider=provider, endpoint=FILE, method=request.method, path=request.url.path
        )
        found = generations.by_id(connection, provider, external_id)
        acting = fault_store.fired(connection, provider, FILE)
        if found:
            acting += [
                fault
                for fault in found.faults
                if FILE in {fault.endpoint, fault.name} and fault_store.used(connection, found.subject, fault)
            ]
        return call, found, acting

    call, generation, faults = await simulation.database.run(arrive)
    response, fault = await _answer(simulation, request, generation, tuple(faults))
    facts = {
        "now": simulation.clock.now(),
        "status": response.status_code or None,
        "reference": generation and generation.reference,
        "tenant": generation and generation.tenant,
        "external_id": external_id,
        "fault": fault or None,
        "repeated": False,
    }
    await simulation.database.run(lambda connection: calls.ended(connection, call, facts))
    return response


async def _answer(
    simulation: Simulation, request: Request, generation: Generation | None, faults: tuple[Fault, ...]
) -> tuple[Response, str]:
    """The answer, and the fault that made it."""
    query = request.query_params
    if generation is None or not links.is_ours(simulation.signing, request.url.path, query):
        return _denied("SignatureDoesNotMatch", 403), ""
    settings = simulation.settings(generation.provider)
    if links.has_expired(query, simulation.clock.now()):
        return _denied("Request has expired", settings.expired_status), ""
    for fault in faults:
        if fault.stage in {Stage.REFUSE, Stage.LOSE}:
            return _broken(fault), str(fault)
    output = generation.outputs[int(request.path_params["index"])]
    how = await damage.corruption(simulation, generation)
    data = await damage.damaged(simulation, generation, output, how)
    if odd := one_of(faults, FILE):
        return await _oddly(odd, request, data, output.mime), str(odd)
    return Response(data, media_type="text/html" if how == "html" else output.mime), how and f"corrupt:{how}"


def _broken(fault: Fault) -> Response:
    if fault.name in {"drop", "drop_after_accept", "hang"}:
        return CutOff()
    return Response(damage.pages(fault.status or 429), fault.status or 429, media_type="text/html")


async def _oddly(fault: Fault, request: Request, data: bytes, mime: str) -> Response:
    if fault.variant.startswith("redirect"):
        target = _redirected(fault, request)
        return RedirectResponse(target, 302) if target else Response(data, media_type=mime)
    if fault.variant == "short":
        return CutAfter(data[: len(data) // 2], declared=len(data), media_type=mime)
    if fault.variant == "gzip_bomb":
        bomb = await asyncio.to_thread(_bomb)
        return Response(bomb, media_type=mime, headers={"content-encoding": "gzip"})
    stream = _drip(data) if fault.variant == "drip" else _zeros(data, _SIZES.get(fault.variant))
    length = {"huge": _HUGE_BYTES, "drip": len(data)}.get(fault.variant)
    headers = {} if length is None else {"content-length": str(length)}
    return StreamingResponse(stream, media_type=mime, headers=headers)


def _redirected(fault: Fault, request: Request) -> str | None:
    """Where to, or None when the chain is at its end."""
    if fault.variant in _ELSEWHERE:
        return _ELSEWHERE[fault.variant]
    hop = int(request.query_params.get("hop", 0))
    if fault.variant == "redirect" and hop >= int(fault.value or 1):
        return None
    return str(request.url.include_query_params(hop=hop + 1))


async def _drip(data: bytes) -> AsyncIterator[bytes]:
    for byte in data:
        yield bytes([byte])
        await asyncio.sleep(_DRIP_S)


async def _zeros(start: bytes, size: int | None) -> AsyncIterator[bytes]:
    """The file, and then zeros, until there are `size` bytes or for ever."""
    yield start
    left = None if size is None else size - len(start)
    while left is None or left > 0:
        part = _MANY_ZEROS if left is None else _MANY_ZEROS[:left]
        left = None if left is None else left - len(part)
        yield part
        await asyncio.sleep(0)


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """A quarter of a GiB of zeros as gzip, of the same compressed MiB over and over."""
    zeros = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(_BOMB_MIB):
        checksum = zlib.crc32(zeros, checksum)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return header + block * _BOMB_MIB + packer.flush() + struct.pack("<II", checksum, _BOMB_MIB << 20)


def _denied(code: str, status: int) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>{code}</Message></Error>'
    return Response(body, status, media_type="application/xml")
