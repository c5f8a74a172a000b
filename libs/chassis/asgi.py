"""What every HTTP request passes through: request id, trace, body limit, metrics, log, and the last resort for errors.

Plain ASGI, one layer: Starlette's BaseHTTPMiddleware costs a task and two queues for each request.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping

import structlog
from opentelemetry.trace import SpanKind, StatusCode
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import metrics, tracing
from chassis.errors import BacklotError
from chassis.problems import answer
from chassis.telemetry import get_logger

log = get_logger()

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._\-]{1,128}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
_SLOW_SECONDS = 1.0


class Edge:
    """Wraps an application. `name` labels its metrics, `body_limit` is in bytes, also for chunked bodies.

    `larger` are the paths whose bodies may be larger, with their limits.
    """

    def __init__(self, app: ASGIApp, *, name: str, body_limit: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._name = name
        self._body_limit = body_limit
        self._larger = larger
        self._in_flight = metrics.HTTP_IN_FLIGHT.labels(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._larger.get(scope["path"], self._body_limit))
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        self._in_flight.inc()
        try:
            await self._traced(exchange)
        finally:
            self._in_flight.dec()
            self._observe(exchange)
            structlog.contextvars.unbind_contextvars("request_id")

    async def _traced(self, exchange: _Exchange) -> None:
        traceparent = exchange.traceparent
        if not tracing.tracing_enabled():
            token = tracing.pass_on(traceparent or tracing.new_traceparent())
            try:
                await self._answered(exchange)
            finally:
                tracing.stop_passing_on(token)
            return
        name = f"{exchange.scope['method']} {exchange.scope['path']}"
        with tracing.span(name, traceparent=traceparent, kind=SpanKind.SERVER) as active:
            await self._answered(exchange)
            active.update_name(f"{exchange.scope['method']} {exchange.route}")
            active.set_attribute("http.route", exchange.route)
            active.set_attribute("http.response.status_code", exchange.status)
            if exchange.status >= 500:
                active.set_status(StatusCode.ERROR)

    async def _answered(self, exchange: _Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception as error:
            log.error("request_failed", method=exchange.scope["method"], path=exchange.scope["path"], exc_info=error)
            if exchange.started:
                raise
            await answer(BacklotError(), exchange.scope)(exchange.scope, exchange.receive, exchange.send)

    def _observe(self, exchange: _Exchange) -> None:
        scope, status = exchange.scope, exchange.status
        seconds = time.perf_counter() - exchange.began
        method = scope["method"] if scope["method"] in _METHODS else "other"
        metrics.HTTP_SECONDS.labels(self._name, method, exchange.route, str(status)).observe(seconds)
        level = _level(status, seconds)
        # Asked first: a line that is not wanted would still cost as much as the rest of this layer.
        if scope["path"] not in _QUIET and logging.getLogger().isEnabledFor(level):
            facts = {"app": self._name, "method": method, "path": scope["path"], "status": status}
            log.log(level, "http_request", ms=round(seconds * 1000, 1), **facts)


def _level(status: int, seconds: float) -> int:
    if status >= 500:
        return logging.ERROR
    return logging.INFO if status >= 400 or seconds > _SLOW_SECONDS else logging.DEBUG


class _Exchange:
    """One request and its answer, as they pass."""

    __slots__ = (
        "_limit",
        "_read",
        "_receive",
        "_send",
        "began",
        "request_id",
        "scope",
        "started",
        "status",
        "traceparent",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self.scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self.began = time.perf_counter()
        self.started = False
        self.status = 500
        self._read = 0
        self.request_id, self.traceparent = "", None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                self.request_id = value.decode("latin-1")
            elif name == b"traceparent":
                text = value.decode("latin-1")
                self.traceparent = text if tracing.parse_traceparent(text) else None
            elif name == b"content-length" and value.isdigit():
                self._read = int(value) if int(value) > limit else 0
        if not _REQUEST_ID.match(self.request_id):
            self.request_id = os.urandom(16).hex()

    @property
    def route(self) -> str:
        """The template of the matched route; one word for all that match none."""
        route = self.scope.get("route")
        return str(getattr(route, "path", None) or "unmatched")

    async def receive(self) -> Message:
        """The next message of the request, as long as the body keeps to the limit."""
        if self._read > self._limit:
            self._refuse()
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                self._refuse()
        return message

    def _refuse(self) -> None:
        raise HTTPException(413, f"the body is larger than {self._limit} bytes")

    async def send(self, message: Message) -> None:
        """Passes the answer on with its request id."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
        await self._send(message)
