"""The public application: every route, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import PlainTextResponse, Response

from api_gateway.http import uploads
from api_gateway.http.assets import Assets
from api_gateway.http.authentication import Authenticator
from api_gateway.http.callbacks import Callbacks
from api_gateway.http.describing import describe
from api_gateway.http.keys import Keys
from api_gateway.http.looks import LookRoutes, Looks
from api_gateway.http.making import Making
from api_gateway.http.manifests import Manifests
from api_gateway.http.provenance import Records
from api_gateway.http.providers import Providers
from api_gateway.http.reading import Reading
from api_gateway.http.shortcut import take_shortcut
from api_gateway.http.storyboard import Storyboard
from api_gateway.http.templates import Templates
from api_gateway.http.webhooks import WebhookRoutes, Webhooks
from api_gateway.looks import Sort
from api_gateway.rendering import Sign
from api_gateway.store.jobs import Jobs
from api_gateway.watching import Watch
from chassis.database import is_transient
from chassis.errors import BacklotError, Unavailable
from chassis.http import InternalClient, make_app
from chassis.problems import answer
from chassis.telemetry import get_logger
from schemas.topics import API_GATEWAY

log = get_logger()

_DESCRIPTION = "One API in front of every media model. Every refusal is a problem (RFC 9457) with a `code`."


def make(
    engine: AsyncEngine,
    jobs: Jobs,
    watch: Watch,
    *,
    callbacks: Callbacks,
    webhooks: Webhooks,
    prompts: InternalClient,
    worker: InternalClient,
    storage: InternalClient,
    sign: Sign,
    public_url: str,
    key_lifetime: float,
    upload_max_bytes: int,
) -> FastAPI:
    """The application for clients. `public_url` is the origin of the bytes, `key_lifetime` in seconds."""
    larger = {uploads.PATH: upload_max_bytes + uploads.FORM_BYTES}
    app = make_app(title="Backlot", public=True, openapi={"description": _DESCRIPTION}, larger_bodies=larger)
    auth = Authenticator(engine, lifetime=key_lifetime)
    looks = Looks(engine, prompts)
    reading = Reading(jobs, watch, auth, sign, public_url.rstrip("/"))
    making = Making(jobs, looks, auth, sign)
    app.include_router(making.router())
    app.include_router(reading.router())
    app.include_router(Manifests(making, reading).router())
    app.include_router(Storyboard(making).router())
    for sort in Sort:
        app.include_router(LookRoutes(looks, auth, sort).router())
    app.include_router(Templates(prompts, auth).router())
    app.include_router(reading.asset_router())
    app.include_router(Assets(engine, jobs, storage, auth, sign).router())
    app.include_router(Records(storage, auth).router())
    address = public_url.rstrip("/")
    app.include_router(uploads.Uploads(engine, jobs, storage, auth, sign, address, upload_max_bytes).router())
    app.include_router(Providers(worker, auth).router())
    app.include_router(Keys(engine, auth).router())
    app.include_router(WebhookRoutes(webhooks, auth).router())
    app.include_router(callbacks.router())
    _serve_contract(app)
    _answer_database_trouble(app)
    describe(app)
    take_shortcut(app, making.router())
    return app


def _serve_contract(app: FastAPI) -> None:
    contract = files("schemas").joinpath("generated", "asyncapi.yaml").read_text(encoding="utf-8")

    @app.get("/asyncapi.yaml", include_in_schema=False)
    async def asyncapi() -> Response:
        return PlainTextResponse(contract, media_type="application/yaml")


def _answer_database_trouble(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        if not is_transient(error):
            log.error("request_failed", path=request.url.path, exc_info=error)
            return answer(BacklotError(), request.scope)
        log.warning("database_trouble", path=request.url.path, error=repr(error))
        return answer(Unavailable(API_GATEWAY, "the database does not answer; try again"), request.scope)

    handler: Callable[[Request, Exception], Awaitable[Response]] = refused
    for kind in (DBAPIError, PoolTimeout, OSError):
        app.add_exception_handler(kind, handler)
