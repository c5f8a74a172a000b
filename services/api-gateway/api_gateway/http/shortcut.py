"""The short way to the routes that make jobs.

They take the request as it is and answer it themselves; to find that out by routing, dependencies and exit stacks
costs FastAPI more than the work. The routes stay registered, for the documents and for every other method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


def take_shortcut(app: FastAPI, router: APIRouter) -> None:
    """Sends POSTs to `router`'s routes straight to their endpoints, inside of what every request passes through."""
    routes = {route.path: route for route in router.routes if isinstance(route, APIRoute)}
    app.user_middleware.append(Middleware(Shortcut, routes=routes, handlers=app.exception_handlers))


class Shortcut:
    """`handlers` are the application's, by the class of the error."""

    def __init__(
        self, app: ASGIApp, *, routes: Mapping[str, APIRoute], handlers: Mapping[Any, Callable[..., Any]]
    ) -> None:
        self._app = app
        self._routes = routes
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        response = await self._answer(route.endpoint, request)
        await response(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            handler = self._handler(error)
            if handler is None:
                raise
            return await handler(request, error)

    def _handler(self, error: Exception) -> ErrorHandler | None:
        return next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
