"""What prompt-service answers to the gateway."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.http import make_app
from prompt_service.http.looks import look_routes
from prompt_service.http.templates import template_routes
from prompt_service.store.looks import BRAND_KITS, STYLE_CAPSULES
from prompt_service.templates import Templates


def make(engine: AsyncEngine, templates: Templates, *, secret: SecretStr) -> FastAPI:
    """The internal application."""
    app = make_app(title="prompt-service", public=False)
    app.include_router(look_routes(BRAND_KITS, "/v1/brand-kits", engine, secret))
    app.include_router(look_routes(STYLE_CAPSULES, "/v1/style-capsules", engine, secret))
    app.include_router(template_routes(engine, templates, secret))
    return app
