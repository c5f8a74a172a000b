"""The gateway in the test's own process, on a real database, with stand-ins for the services it asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api_gateway.delivering import Deliverer
from api_gateway.events import Hearing
from api_gateway.http import application
from api_gateway.http.callbacks import Callbacks
from api_gateway.http.responses import signer
from api_gateway.http.webhooks import Webhooks
from api_gateway.keys import SCOPES, Principal, new_key
from api_gateway.store.deliveries import Deliveries
from api_gateway.store.jobs import Jobs
from api_gateway.store.keys import add_key
from api_gateway.store.sweeper import Sweeper
from api_gateway.store.totals import Shard
from api_gateway.watching import Watch
from chassis.database import make_engine, migrate
from chassis.foreign import Policy, Resolve
from chassis.http import Context, InternalClient, read_context
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of
from objects.signing import derive_key
from schemas.event import Event
from schemas.topics import TOPICS

SECRET = "a secret of the tests, long enough"
ASSETS = "https://assets.test"
IMAGE = {"kind": "image", "prompt": "a red fox in the snow"}
UPLOAD_MAX = 2 * 1024 * 1024
UPLOADED: dict[str, Any] = {
    "origin": "upload",
    "job_id": None,
    "item": None,
    "role": "primary",
    "kind": "image",
    "asset_type": None,
    "path": "uploads/image/a.png",
    "version": 1,
    "revision": 1,
    "width": 64,
    "height": 64,
    "duration_seconds": None,
    "mime": "image/png",
    "is_public": False,
    "late": False,
    "flags": [],
    "created_at": "2026-11-22T00:00:00Z",
    "thumbnail": {"id": "01981d2e-9c11-7a00-8a00-0000000000f1", "sha256": "5a" * 32},
}


@dataclass(slots=True)
class PromptService:
    """Brand kits and style capsules by tenant, as prompt-service answers them; `sent` is what it was asked last.

    What else is asked is in `others`, by method and address.
    """

    kits: dict[tuple[UUID, UUID], dict[str, Any]] = field(default_factory=dict)
    capsules: dict[tuple[UUID, UUID], dict[str, Any]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0
    sent: str = ""
    others: dict[str, httpx.Response] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.away:
            raise httpx.ConnectError("nobody listens", request=request)
        context = read_context(SECRET, request.headers["X-Backlot-Context"])
        self.sent = f"{request.method} {request.url.raw_path.decode()}"
        self.requests.append(request)
        if self.sent in self.others:
            return self.others[self.sent]
        looks = self.capsules if request.url.path.startswith("/v1/style-capsules") else self.kits
        _, _, _, *parts = request.url.path.split("/")
        if not parts:
            return self._collection(request, looks, context.tenant_id)
        if len(parts) > 1:
            return httpx.Response(200, json={"version": 1, "items": []})
        return self._look(request, looks, (context.tenant_id, UUID(parts[0])))

    def _collection(
        self, request: httpx.Request, looks: dict[tuple[UUID, UUID], dict[str, Any]], tenant_id: UUID
    ) -> httpx.Response:
        mine = [look for (tenant, _), look in looks.items() if tenant == tenant_id]
        if request.method == "GET":
            return httpx.Response(200, json={"items": mine, "total": len(mine), "limit": 20, "offset": 0})
        body = json.loads(request.content)
        if "name" not in body:
            detail = "is required"
            problem = {"code": "VALIDATION", "detail": detail, "errors": [{"pointer": "/name", "detail": detail}]}
            return httpx.Response(422, json=problem, headers={"content-type": "application/problem+json"})
        look = {"id": str(uuid7()), "version": 1, **body}
        looks[tenant_id, UUID(look["id"])] = look
        return httpx.Response(201, json=look)

    def _look(
        self, request: httpx.Request, looks: dict[tuple[UUID, UUID], dict[str, Any]], key: tuple[UUID, UUID]
    ) -> httpx.Response:
        look = looks.get(key)
        if look is None:
            problem = {"code": "NOT_FOUND", "detail": "there is no such one", "errors": []}
            return httpx.Response(404, json=problem, headers={"content-type": "application/problem+json"})
        if request.method == "DELETE":
            del looks[key]
            return httpx.Response(204)
        if request.method == "PUT":
            look = looks[key] = {**look, **json.loads(request.content), "version": look["version"] + 1}
        return httpx.Response(200, json=look)


@dataclass(slots=True)
class ProviderWorker:
    """Providers, as provider-worker answers them."""

    items: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    asked_by: list[Context] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ReadTimeout("no answer in time", request=request)
        assert (request.method, request.url.path) == ("GET", "/v1/providers")
        self.asked_by.append(read_context(SECRET, request.headers["X-Backlot-Context"]))
        return httpx.Response(200, json={"items": self.items})


@dataclass(slots=True)
class StorageService:
    """Assets by id, as storage-service has them; every upload is a picture of 64x64 pixels."""

    assets: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    records: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    asked_by: list[Context] = field(default_factory=list)
    away: bool = False
    bodies: list[tuple[str | None, bytes]] = field(default_factory=list)
    refuses: httpx.Response | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("nobody listens", request=request)
        context = read_context(SECRET, request.headers["X-Backlot-Context"])
        self.asked_by.append(context)
        if request.method == "GET":
            name = request.url.path.removeprefix("/v1/assets/").removesuffix("/provenance")
            record = self.records.get(UUID(name))
            return httpx.Response(200, json=record) if record else _problem(404, "NOT_FOUND")
        if request.method == "DELETE":
            gone = self.assets.pop(UUID(request.url.path.removeprefix("/v1/assets/")), None)
            return httpx.Response(204) if gone else _problem(404, "NOT_FOUND")
        assert (request.method, request.url.path) == ("POST", "/v1/uploads")
        body = await request.aread()
        self.bodies.append((request.headers.get("content-type"), body))
        if self.refuses is not None:
            return self.refuses
        sha256 = hashlib.sha256(body).hexdigest()
        same = {"user_id": str(context.user_id), "sha256": sha256}
        known = next((found for found in self.assets.values() if same.items() <= found.items()), None)
        return httpx.Response(200, json=known) if known else httpx.Response(201, json=self._made(same, body))

    def _made(self, same: dict[str, Any], body: bytes) -> dict[str, Any]:
        asset = {**UPLOADED, **same, "id": str(uuid7()), "file_size": len(body)}
        self.assets[UUID(asset["id"])] = asset
        return asset


def _problem(status: int, code: str) -> httpx.Response:
    problem = {"code": code, "detail": "there is no such asset", "errors": []}
    return httpx.Response(status, json=problem, headers={"content-type": "application/problem+json"})


@dataclass(slots=True)
class Gateway:
    """A running gateway. `client` speaks with the key of `who`."""

    app: FastAPI
    engine: AsyncEngine
    watch: Watch
    jobs: Jobs
    sweeper: Sweeper
    hearing: Hearing
    prompts: PromptService
    worker: ProviderWorker
    storage: StorageService
    who: Principal
    client: httpx.AsyncClient
    deliverer: Deliverer

    async def client_of(self, who: Principal) -> httpx.AsyncClient:
        """A client with a new key of `who`."""
        key = new_key()
        async with self.engine.begin() as conn:
            await add_key(conn, uuid7(), key, who)
        return self.speaking(f"Bearer {key}")

    def speaking(self, authorization: str | None) -> httpx.AsyncClient:
        """A client with this Authorization header."""
        headers = {"Authorization": authorization} if authorization else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    async def make(self, **body: Any) -> UUID:
        """A new job's id."""
        answer = await self.client.post("/api/v1/jobs", json=IMAGE | body)
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    async def job(self, job_id: UUID) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def hear(self, *events: Event, tenant_id: UUID | None = None) -> None:
        """One batch of one topic, as the consumer hands it over."""
        await self.hear_all(events, tenant_id=tenant_id)

    async def hear_all(self, events: Sequence[Event], *, tenant_id: UUID | None = None) -> None:
        enveloped = [event_of(event, tenant_id=tenant_id or self.who.tenant_id) for event in events]
        async with self.engine.begin() as conn:
            await self.hearing.hear(conn, enveloped, shard=Shard.OWN)

    async def said(self, topic: str | None = None) -> list[Event]:
        """What the gateway has said, in order."""
        async with self.engine.connect() as conn:
            rows = (await conn.execute(text("SELECT topic, value, headers FROM outbox ORDER BY n"))).all()
        types = {model.type: model for model in _all_events()}
        return [
            types[json.loads(headers)["ce_type"]].model_validate_json(value)
            for name, value, headers in rows
            if topic in {None, name}
        ]

    async def run(self, statement: str, **values: Any) -> Any:
        """One statement as the service's own role."""
        async with self.engine.begin() as conn:
            return await conn.execute(text(statement), values)


def _all_events() -> tuple[type[Event], ...]:
    from schemas.events import EVENTS

    assert TOPICS
    return EVENTS


def someone(*scopes: str, tenant_id: UUID | None = None, user_id: UUID | None = None) -> Principal:
    """A principal; without scopes he has all but admin and tenant:read."""
    plain = [scope for scope in SCOPES if scope not in {"admin", "tenant:read"}]
    return Principal(tenant_id or uuid7(), user_id or uuid7(), frozenset(scopes or plain))


@asynccontextmanager
async def gateway_on(
    database_url: str,
    *,
    cancel_patience: float = 60.0,
    request_patience: float = 60.0,
    key_lifetime: float = 5.0,
    origins: Sequence[str] = (),
    resolve: Resolve | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway on an empty database. Its webhooks may lead to `origins` too, and go where `resolve` says."""
    await migrate(database_url, "api_gateway")
    engine = make_engine(database_url, name="api-gateway-test")
    outbox, watch, who = Outbox("/services/api-gateway"), Watch(), someone()
    prompts, worker, storage = PromptService(), ProviderWorker(), StorageService()
    jobs = Jobs(engine, outbox, watch)
    client = InternalClient("prompt-service", "http://prompts", SECRET, transport=httpx.MockTransport(prompts))
    asking = InternalClient("provider-worker", "http://worker", SECRET, transport=httpx.MockTransport(worker))
    storing = InternalClient("storage-service", "http://storage", SECRET, transport=httpx.MockTransport(storage))
    reachable = Policy(hosts=("*",), trusted=frozenset(origins))
    webhooks = Webhooks(engine, SecretStr(SECRET), reachable, resolve)
    deliverer = Deliverer(Deliveries(engine), SecretStr(SECRET), reachable, keep=3600, resolve=resolve)
    app = application.make(
        engine,
        jobs,
        watch,
        callbacks=Callbacks(engine, outbox, SecretStr(SECRET)),
        webhooks=webhooks,
        prompts=client,
        worker=asking,
        storage=storing,
        sign=signer(derive_key(SECRET), 600),
        public_url=ASSETS,
        key_lifetime=key_lifetime,
        upload_max_bytes=UPLOAD_MAX,
    )
    sweeper = Sweeper(engine, outbox, watch, cancel_patience=cancel_patience, request_patience=request_patience)
    hearing, nobody = Hearing(outbox, watch, on_deliveries=deliverer.wake.set), httpx.AsyncClient()
    made = Gateway(app, engine, watch, jobs, sweeper, hearing, prompts, worker, storage, who, nobody, deliverer)
    made.client = await made.client_of(who)
    try:
        yield made
    finally:
        await made.client.aclose()
        await deliverer.stop()
        await client.stop()
        await asking.stop()
        await storing.stop()
        await engine.dispose()
