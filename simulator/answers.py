"""Answers that HTTP frameworks do not offer: none at all, and half of one."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CUT = "simulator.cut"
UNANSWERED = 0


class CutOff(Response):
    """Resets the connection. In the call log it has no status."""

    def __init__(self) -> None:
        super().__init__()
        self.status_code = UNANSWERED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _cut(scope, receive)


class CutAfter(Response):
    """Declares `declared` bytes, sends fewer, and resets the connection."""

    def __init__(self, content: bytes, *, declared: int, media_type: str, headers: Mapping[str, str] | None = None):
        super().__init__(content, media_type=media_type, headers={**(headers or {}), "content-length": str(declared)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        scope[CUT](gently=True)
        await _gone(receive)


async def _cut(scope: Scope, receive: Receive) -> None:
    scope[CUT]()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    """The server takes an answer that never began for an error, unless it knows that the caller is away."""
    while (await receive())["type"] != "http.disconnect":
        pass
