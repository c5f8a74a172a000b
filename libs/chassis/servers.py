"""uvicorn servers inside a loop that is not theirs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from chassis.errors import StartError

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 65


def listen(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket. Raises `StartError` naming the setting `variable` when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError([_refused(host, port, variable, error)]) from error
    listener.setblocking(False)
    return listener


def _refused(host: str, port: int, variable: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{variable}: port {port} of {host} is in use; stop what listens there or choose another port"
    return f"{variable}: cannot listen on port {port} of {host}: {error.strerror or error}"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which has two servers to stop and more besides."""
        yield


class HttpServer:
    """Serves `app` on `listener` until stopped; requests in flight get `drain_seconds`."""

    def __init__(self, app: FastAPI, listener: socket.socket, *, drain_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
        )
        self._server = _Server(config)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when requests are answered."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            await asyncio.sleep(0.005)
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended while it started")

    async def stop(self) -> None:
        """Accepts no more, finishes what is in flight, closes."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._listener.close()
