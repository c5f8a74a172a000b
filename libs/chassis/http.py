"""The HTTP application of a service: problem+json for every error, health, metrics, request ids, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from chassis import health
from chassis.asgi import Edge
from chassis.context import CONTEXT_HEADER, Context, context_headers, read_context, require_context
from chassis.errors import BacklotError
from chassis.health import Health
from chassis.internal_client import InternalClient
from chassis.problems import MEDIA_TYPE, Problem, answer, from_http_exception, from_validation

__all__ = [
    "CONTEXT_HEADER",
    "Context",
    "Health",
    "InternalClient",
    "Problem",
    "context_headers",
    "make_app",
    "read_context",
    "require_context",
]

BODY_LIMIT = 1024 * 1024

_PROBLEM_RESPONSE: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "The request was refused or failed (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def make_app(
    *,
    title: str,
    version: str = "0.1.0",
    public: bool,
    openapi: Mapping[str, Any] | None = None,
    body_limit: int = BODY_LIMIT,
    larger_bodies: Mapping[str, int] | None = None,
) -> FastAPI:
    """A FastAPI application with everything but its routes.

    `public`: for clients, with documentation at /docs; otherwise internal, with /metrics. Both have /livez and /readyz,
    which speak from `app.state.health`. `openapi` is passed on to FastAPI (description, openapi_tags, servers...).
    `larger_bodies`: paths that read their bodies as a stream, and how many bytes each may have.
    Handlers are to be `async def`: a plain function costs a thread for each request.
    """
    app = FastAPI(
        title=title,
        version=version,
        docs_url="/docs" if public else None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_PROBLEM_RESPONSE,
        # Our own edge makes the spans, the metrics and the logs; FastAPI's would come on top.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        **(openapi or {}),
    )
    app.state.health = Health()
    name = "public" if public else "internal"
    app.add_middleware(Edge, name=name, body_limit=body_limit, larger=larger_bodies or {})
    _answer_errors(app)
    _add_health(app, with_metrics=not public)
    _describe_problems(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(BacklotError)
    async def known(request: Request, error: BacklotError) -> Response:
        return answer(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(from_validation(error), request.scope)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return answer(from_http_exception(error), request.scope, error.headers)


def _add_health(app: FastAPI, *, with_metrics: bool) -> None:
    app.add_route("/livez", health.livez, include_in_schema=False)
    app.add_route("/readyz", health.readyz, include_in_schema=False)
    if with_metrics:
        app.add_route("/metrics", health.metrics, include_in_schema=False)


def _describe_problems(app: FastAPI) -> None:
    generate = app.openapi

    def with_problem() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
        return document

    app.openapi = with_problem  # type: ignore[method-assign] # the documented way to extend it
