"""What faults do to answers and to bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.faults import Fault
from simulator.generation import Generation, Output
from simulator.media.images import picture
from simulator.refusals import Cut, Foreign, Hang, Reason, Refused
from simulator.store import faults as fault_store

if TYPE_CHECKING:
    from simulator.simulation import Simulation

PAGE = b"<!doctype html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"
_OTHER_FORMAT = {
    "image/png": "image/jpeg",
    "image/jpeg": "image/png",
    "image/webp": "image/png",
    "audio/mpeg": "audio/wav",
    "audio/wav": "audio/mpeg",
    "audio/flac": "audio/mpeg",
}
_SIZES = ("width", "height", "duration_s")


def refusal(fault: Fault) -> Exception:
    """What a fault raises that acts instead of the work."""
    if fault.name == "429":
        return Refused(
            Reason.RATE,
            "too many requests",
            retry_after=fault.value if fault.variant else None,
            in_body=fault.variant == "body_retryinfo",
        )
    if fault.name == "http":
        if fault.variant == "foreign":
            return Foreign(fault.status)
        return Refused(Reason.BROKEN, "the provider has a problem", status=fault.status)
    simple: dict[str, Exception] = {
        "quota": Refused(Reason.QUOTA, "the credits of this account are used up", per_day=True),
        "auth": Refused(Reason.AUTH, "the key is not valid"),
        "policy": Refused(Reason.POLICY, "the prompt was refused by policy"),
        "drop": Cut(),
        "hang": Hang(),
    }
    return simple[fault.name]


def pages(status: int) -> bytes:
    """What a proxy shows when the provider behind it does not answer."""
    title = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}.get(
        status, f"{status} Error"
    )
    text = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr><center>nginx</center>"
    return f"{text}</body></html>\r\n".encode()


async def corruption(simulation: Simulation, generation: Generation) -> str:
    """How the bytes that are about to be given are damaged: a variant of `corrupt`, or nothing. Counts as one use."""
    fault = generation.has("corrupt")
    if fault is None:
        return ""
    acts = await simulation.database.run(lambda connection: fault_store.used(connection, generation.subject, fault))
    return fault.variant if acts else ""


async def bytes_of(simulation: Simulation, generation: Generation, output: Output) -> bytes:
    """The bytes of one output as the caller gets them."""
    return await damaged(simulation, generation, output, await corruption(simulation, generation))


async def damaged(simulation: Simulation, generation: Generation, output: Output, how: str) -> bytes:
    if how == "html":
        return PAGE
    if how == "empty":
        return b""
    stamp = simulation.settings(generation.provider).pictures == "stamped"
    data = await simulation.studio.bytes_of(_altered(output, how), stamp=stamp)
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "garbage":
        middle = len(data) // 3
        return data[:middle] + bytes(255 - byte for byte in data[middle : middle * 2]) + data[middle * 2 :]
    return data


def _altered(output: Output, how: str) -> Output:
    if how == "wrong_mime":
        other = _OTHER_FORMAT.get(output.mime)
        return replace(output, mime=other) if other else picture(64, 64, mime="image/png", seed=output.seed)
    if how == "wrong_size":
        halved = {name: type(output.params[name])(output.params[name] / 2) for name in _SIZES if name in output.params}
        return replace(output, params={**output.params, **halved})
    if how in {"too_many_tris", "no_pbr", "seam"}:
        return replace(output, params={**output.params, how: True})
    return output
