"""A provider of a route file as cases of the suite: what is expected of it is what its adapter says it can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chassis.errors import StartError
from provider_worker.adapters.config import ProviderConfig
from provider_worker.adapters.interface import Capability, MediaKind, Op, ProviderAdapter
from provider_worker.adapters.registry import Make, maker_of
from provider_worker.contract.case import Case
from provider_worker.route_file import read_routes

USUAL_SIZE = (1280, 720)
WITH_PIXELS = {MediaKind.IMAGE, MediaKind.TEXTURE, MediaKind.ENVIRONMENT_MAP, MediaKind.VIDEO}
USUAL_SECONDS: Mapping[MediaKind, float] = {MediaKind.SFX: 1.5, MediaKind.MUSIC: 12.0, MediaKind.VIDEO: 5.0}
OF_TEXT = {Op.TEXT_TO_IMAGE, Op.TEXT_TO_VIDEO, Op.TEXT_TO_SFX, Op.TEXT_TO_MUSIC, Op.TEXT_TO_3D}


def cases_of(name: str, routes: Path | None, environment: Mapping[str, str], origin: str) -> list[Case]:
    """A case for each thing that the provider makes of a text.

    `environment` points at a simulator at `origin`, and is all that the route file is read with. Raises `StartError`.
    """
    read = read_routes(routes, environment)
    if name not in read.adapters:
        raise StartError([f"there is no provider {name}; there are: {', '.join(sorted(read.adapters))}"])
    if name in read.disabled:
        raise StartError([f"{read.disabled[name]}: no wire of the simulator has it; --wire names yours"])
    config = read.configs[name]
    if not config.base_url.startswith(f"{origin}/"):
        raise StartError([_elsewhere(config)])
    make = maker_of(read.adapters[name], {})
    found = list(_cases(config, make, make(config), config.base_url.removeprefix(origin)))
    if not found:
        raise StartError(
            [f"{name} makes nothing of a text: its capabilities have none of {', '.join(sorted(OF_TEXT))}"]
        )
    return found


def _elsewhere(config: ProviderConfig) -> str:
    if not config.base_url:
        return f"{config.name} is asked over no wire: there is nothing that could be simulated"
    return (
        f"the base_url of {config.name} leads to {config.base_url}, not to the simulator: write it as "
        f"${{NAME:-{config.base_url}}}, with the variable that the wire names, and name the wire with --wire"
    )


def _cases(config: ProviderConfig, make: Make, adapter: ProviderAdapter, path: str) -> Iterator[Case]:
    offered = {found.op: found for found in reversed(adapter.capabilities()) if found.op in OF_TEXT}
    for op, capability in offered.items():
        yield Case(
            name=config.name if len(offered) == 1 else f"{config.name}-{op}",
            make=make,
            path=path,
            model=config.model,
            prices=tuple(config.prices.entries),
            asked=_asked(capability),
            sync=capability.mode == "sync",
            finds=capability.idempotency != "none",
            shows_links=capability.result_ttl_s is not None,
            options=dict(config.options),
        )


def _asked(capability: Capability) -> dict[str, Any]:
    """The plainest request for it."""
    asked: dict[str, Any] = {"kind": capability.kind, "op": capability.op}
    if capability.formats:
        asked["format"] = capability.formats[0]
    if capability.kind in USUAL_SECONDS:
        asked["duration_s"] = _seconds(capability)
    if capability.kind in WITH_PIXELS:
        asked["width"], asked["height"] = _size(capability.sizes)
    return asked


def _size(sizes: Sequence[tuple[int, int]] | None) -> tuple[int, int]:
    """The usual one where it can be had, if only from a larger one of its shape."""
    width, height = USUAL_SIZE
    has_shape = not sizes or any(w >= width and abs(w / h - width / height) < 0.05 for w, h in sizes)
    return USUAL_SIZE if has_shape or not sizes else sizes[0]


def _seconds(capability: Capability) -> float:
    usual, offered = USUAL_SECONDS[capability.kind], capability.durations
    if offered is None:
        return usual
    if isinstance(offered, Sequence):
        return min(offered, key=lambda seconds: abs(seconds - usual))
    return min(max(usual, offered.shortest), offered.longest)
