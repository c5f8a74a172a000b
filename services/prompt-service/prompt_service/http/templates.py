"""Templates, for the gateway. The tenant comes from the signed context."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, SecretStr

from chassis.http import Context, require_context
from prompt_service.templates import Templates


class TemplateView(BaseModel):
    """A template that jobs can name."""

    name: str
    version: str
    kind: str
    sha256: str
    placeholders: dict[str, str]


def template_routes(templates: Templates, secret: SecretStr) -> APIRouter:
    """`/v1/templates`."""
    router = APIRouter(prefix="/v1/templates", tags=["templates"])
    asks: Any = Depends(require_context(secret))

    @router.get("")
    async def list_templates(context: Context = asks) -> list[TemplateView]:
        return [
            TemplateView(
                name=template.name,
                version=template.version,
                kind=template.kind,
                sha256=template.sha256,
                placeholders={name: placeholder.source for name, placeholder in template.placeholders.items()},
            )
            for _, template in sorted(templates.items())
        ]

    return router
