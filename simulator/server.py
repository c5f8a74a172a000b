"""The process: one port, a line when it is ready, connections that can be cut."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.answers import CUT
from simulator.certificate import certificate

_RESET_AT_ONCE = struct.pack("ii", 1, 0)
_BACKLOG = 2048
LOOPBACK = "127.0.0.1"


class CuttableProtocol(HttpToolsProtocol):
    """Gives the application a way to cut its connection, which ASGI does not have."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CUT] = self.cut  # type: ignore[literal-required]

    def cut(self, *, gently: bool = False) -> None:
        """Reset the connection; `gently` lets what was written arrive first."""
        if gently:
            self.transport.close()
            return
        wire: socket.socket | None = self.transport.get_extra_info("socket")
        # A client that went away first has left nothing to reset.
        if wire is not None and not self.transport.is_closing():
            # Closing would end the stream in order; a provider that falls over resets it.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        self.transport.abort()


class AnnouncingServer(uvicorn.Server):
    """Prints one JSON line when it answers."""

    def __init__(self, config: uvicorn.Config, announcement: dict[str, object]) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(json.dumps(self._announcement) + "\n")
        sys.stdout.flush()


def run(application: Starlette, *, port: int, folder: Path, tls: bool) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one; with `tls` everything is https."""
    folder.mkdir(parents=True, exist_ok=True)
    listening = socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
    port = listening.getsockname()[1]
    signed = certificate(folder) if tls else None
    config = uvicorn.Config(
        application,
        http=CuttableProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        ssl_certfile=signed,
        ssl_keyfile=signed,
    )
    announcement: dict[str, object] = {
        "ready": True,
        "url": f"{'https' if tls else 'http'}://{LOOPBACK}:{port}",
        "port": port,
        "pid": os.getpid(),
        "folder": str(folder),
    }
    if signed:
        announcement["certificate"] = str(signed)
    AnnouncingServer(config, announcement).run(sockets=[listening])
