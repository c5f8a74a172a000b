"""The simulator as one ASGI application: wires, files, admin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import admin, files
from simulator.desk import answered
from simulator.simulation import Simulation
from simulator.wire import Endpoint, Wire


def application(folder: Path, wires: Sequence[Wire], *, seed: str) -> Starlette:
    """A simulator of `wires` that keeps everything it must remember in `folder`."""
    simulation = Simulation(folder, wires, seed=seed)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        await simulation.open()
        try:
            yield
        finally:
            await simulation.close()

    async def serve_file(request: Request) -> Response:
        return await files.served(simulation, request)

    return Starlette(
        routes=[
            *admin.routes(simulation),
            Route("/files/{provider}/{generation}/{index:int}.{ending}", serve_file, methods=["GET", "HEAD"]),
            *(_route(simulation, wire, endpoint) for wire in wires for endpoint in wire.endpoints),
        ],
        lifespan=running,
    )


def _route(simulation: Simulation, wire: Wire, endpoint: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        return await answered(simulation, wire, endpoint, request)

    handler: Callable[[Request], Awaitable[Response]] = answer
    return Route(f"/{wire.place}{endpoint.path}", handler, methods=[endpoint.method])
