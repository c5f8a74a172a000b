"""prompt-service in the test's own process, on a real database: without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine, migrate
from chassis.http import Context, context_headers
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of, eventually
from prompt_service import http
from prompt_service.events import Prompts
from prompt_service.kits import BrandKitBody
from prompt_service.store.looks import BRAND_KITS
from prompt_service.templates import load_templates
from schemas.cloudevents import CloudEvent
from schemas.events import JobRequested, PromptsPrepared, PromptsRejected
from schemas.parts import JobSpec, Kind, VersionRef

TENANT, USER = uuid7(), uuid7()
SECRET = SecretStr("a secret of the tests")
TEMPLATES = load_templates()
KIT = BrandKitBody(name="Neon Drift", primary_colors=["#7C3AED"], tone="bold")
POSTER: dict[str, Any] = {
    "name": "poster",
    "kind": "image",
    "base_prompt": "A poster of {subject} with {count} stars. Tone: {tone}.",
    "quality_modifiers": ["flat colours"],
    "placeholders": {
        "subject": {"source": "text", "required": True},
        "count": {"source": "variable", "type": "integer", "min": 1, "max": 5, "default": "3"},
        "tone": {"source": "brand_kit", "default": "calm"},
    },
}


@dataclass
class Service:
    """Its handlers, its database, its internal API."""

    engine: AsyncEngine
    prompts: Prompts
    app: FastAPI

    async def hear(self, *events: CloudEvent[Any]) -> None:
        async with self.engine.begin() as conn:
            for model, handler in self.prompts.subscription().handlers.items():
                chosen = [event for event in events if isinstance(event.data, model)]
                if chosen:
                    await handler(conn, chosen)

    async def said(self) -> list[PromptsPrepared | PromptsRejected]:
        async with self.engine.connect() as conn:
            rows = await conn.execute(text("SELECT value, headers FROM outbox ORDER BY n"))
            return [
                (PromptsPrepared if "prompts.prepared" in str(row.headers) else PromptsRejected).model_validate_json(
                    row.value
                )
                for row in rows
            ]

    async def make_kit(self, tenant: UUID = TENANT) -> VersionRef:
        kit_id = uuid7()
        async with self.engine.begin() as conn:
            await BRAND_KITS.add(conn, tenant, kit_id, KIT)
        return VersionRef(id=kit_id, version=1)

    def client(self, tenant: UUID = TENANT) -> httpx.AsyncClient:
        headers = context_headers(SECRET, Context(tenant, USER, frozenset({"prompts:write"})))
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://prompts", headers=headers)


@asynccontextmanager
async def service_on(database_url: str) -> AsyncIterator[Service]:
    """prompt-service on an empty database."""
    await migrate(database_url, "prompt_service")
    engine = make_engine(database_url, name="prompt-service")
    prompts = Prompts(engine, Outbox("/services/prompt-service"), TEMPLATES, kit_wait_seconds=30)
    yield Service(engine, prompts, http.make(engine, TEMPLATES, secret=SECRET))
    await engine.dispose()


def requested(kit: VersionRef | None = None, *, tenant: UUID = TENANT, **spec: Any) -> CloudEvent[JobRequested]:
    """A job for a picture, unless `spec` says otherwise."""
    job_id = uuid7()
    defaults: dict[str, Any] = {"kind": Kind.IMAGE, "prompt": "a dragon"}
    data = JobRequested(job_id=job_id, user_id=USER, request=JobSpec(**{**defaults, **spec}), brand_kit=kit)
    return event_of(data, subject=job_id, tenant_id=tenant)


def problem_of(answer: httpx.Response, status: int) -> str:
    """What a refusal says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


async def make_template(client: httpx.AsyncClient, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A template of its tenant; the poster, unless `body` says otherwise."""
    answer = await client.post("/v1/templates", json=body or POSTER)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def use_poster(service: Service, version: str | None = None, **spec: Any) -> PromptsPrepared | PromptsRejected:
    """A job with the poster, and what was said of it."""
    await service.hear(requested(template="poster", template_version=version, **spec))
    return (await service.said())[-1]


async def waits_for_a_lock(service: Service) -> None:
    """Until some transaction waits for another one."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def somebody_waits() -> bool:
        async with service.engine.connect() as conn:
            return bool(await conn.scalar(text(waiting)))

    await eventually(somebody_waits)
