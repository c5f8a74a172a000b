"""Webhooks: where a tenant hears how its jobs ended, and what became of each delivery."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Query
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import body_of
from api_gateway.http.responses import answer
from api_gateway.http.webhook_shapes import (
    DeliveryAnswer,
    DeliveryList,
    NewWebhook,
    WebhookAnswer,
    WebhookList,
    WebhookRequest,
    answering,
)
from api_gateway.keys import Principal
from api_gateway.rendering import rfc3339
from api_gateway.store import webhooks as store
from api_gateway.store.webhooks import DeliveryRow, WebhookRow
from api_gateway.webhooks import ENDS, EVENTS, MOST_WEBHOOKS, State, secret_of
from chassis.database import tenant_transaction
from chassis.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from chassis.foreign import ForeignError, Policy, Resolve, check_address
from chassis.ids import uuid7
from chassis.telemetry import get_logger

log = get_logger()

PATH = "/api/v1/webhooks"
_LOOKUPS = 8
"""Names that are looked up at once for webhooks that are being made: a silent one is for deliveries to wait for too."""
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Webhooks as their users keep them. `policy` says where they may lead."""

    engine: AsyncEngine
    secret: SecretStr
    policy: Policy
    resolve: Resolve | None = None
    lookups: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKUPS))

    async def make(self, who: Principal, asked: WebhookRequest) -> dict[str, Any]:
        """A new webhook, with its secret. Raises `Forbidden` where its maker may not read what it would hear."""
        _require_reading(who)
        await self._check(asked.url)
        wanted = set(asked.events or ENDS)
        new = store.NewWebhook(
            id=uuid7(),
            user_id=who.user_id,
            all_jobs=who.reader is None,
            url=asked.url,
            events=[event for event in EVENTS if event in wanted],
            description=asked.description,
        )
        async with self.engine.begin() as conn:
            made = await store.add_webhook(conn, who.tenant_id, new, most=MOST_WEBHOOKS)
        if made is None:
            raise Conflict(f"a tenant has at most {MOST_WEBHOOKS} webhooks; delete one first")
        log.info("webhook_made", webhook_id=str(made.id), tenant=str(who.tenant_id), all_jobs=made.all_jobs)
        return {**_webhook(made), "secret": secret_of(self.secret, made.id)}

    async def page(self, who: Principal, limit: int, offset: int) -> dict[str, Any]:
        """Those that `who` may see."""
        async with tenant_transaction(self.engine, who.tenant_id) as conn:
            rows, total = await store.list_webhooks(conn, who.tenant_id, who.reader, limit, offset)
        return {"items": [_webhook(row) for row in rows], "total": total, "limit": limit, "offset": offset}

    async def one(self, who: Principal, webhook_id: UUID) -> WebhookRow:
        """One that `who` may see. Raises `NotFound`."""
        async with tenant_transaction(self.engine, who.tenant_id) as conn:
            row = await store.read_webhook(conn, who.tenant_id, who.reader, webhook_id)
        if row is None:
            raise NotFound(f"there is no webhook {webhook_id}")
        return row

    async def delete(self, who: Principal, webhook_id: UUID) -> None:
        """Nothing is sent to it any more."""
        await self._own(who, webhook_id, "delete it")
        async with self.engine.begin() as conn:
            deleted = await store.delete_webhook(conn, who.tenant_id, webhook_id)
        if not deleted:
            raise NotFound(f"there is no webhook {webhook_id}")
        log.info("webhook_deleted", webhook_id=str(webhook_id), tenant=str(who.tenant_id))

    async def deliveries(
        self, who: Principal, webhook_id: UUID, *, state: str | None, limit: int, offset: int
    ) -> dict[str, Any]:
        """What was told to a webhook, or is to be."""
        await self.one(who, webhook_id)
        async with tenant_transaction(self.engine, who.tenant_id) as conn:
            rows, total = await store.list_deliveries(
                conn, who.tenant_id, webhook_id, state=state, limit=limit, offset=offset
            )
        return {"items": [_delivery(row) for row in rows], "total": total, "limit": limit, "offset": offset}

    async def redeliver(self, who: Principal, webhook_id: UUID, delivery_id: UUID) -> dict[str, Any]:
        """The delivery, begun anew. Raises `Conflict` where it is on its way, or the webhook is disabled."""
        _require_reading(who)
        webhook = await self._own(who, webhook_id, "have it sent again")
        if webhook.disabled_reason is not None:
            raise Conflict(f"the webhook is disabled ({webhook.disabled_reason}): delete it and make another")
        async with self.engine.begin() as conn:
            row = await store.redeliver(conn, who.tenant_id, webhook_id, delivery_id)
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id} of this webhook")
        if row.leased:
            raise Conflict("the delivery is on its way: what comes of it is known within a minute", retry_after=15.0)
        return _delivery(row)

    async def _own(self, who: Principal, webhook_id: UUID, act: str) -> WebhookRow:
        row = await self.one(who, webhook_id)
        if row.user_id != who.user_id and not who.may("admin"):
            raise Forbidden(f"only the owner of a webhook may {act}")
        return row

    async def _check(self, url: str) -> None:
        try:
            # An operator's own origins are taken as they stand, and would be taken with a password too.
            if httpx.URL(url).userinfo:
                raise _refused("carries a user name or a password")
            async with self.lookups:
                await check_address(self.policy, url, resolve=self.resolve)
        except (httpx.InvalidURL, ValueError) as error:
            raise _refused("is no address") from error
        except ForeignError as error:
            raise _refused(f"cannot be used: {error.reason}") from error


def _require_reading(who: Principal) -> None:
    """A webhook tells what came of jobs: who may not read that may not have it told. Raises `Forbidden`."""
    if not who.may("jobs:read"):
        raise Forbidden("this key lacks the scope jobs:read")


def _refused(detail: str) -> Invalid:
    return Invalid(f"/url {detail}", errors=[FieldError("/url", detail)])


@dataclass(frozen=True, slots=True)
class WebhookRoutes:
    """The routes of webhooks."""

    webhooks: Webhooks
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix=PATH, tags=["webhooks"])
        self._add_making(router)
        self._add_reading(router)
        self._add_deliveries(router)
        return router

    def _add_making(self, router: APIRouter) -> None:
        writes = self.auth.scope("jobs:write")

        @router.post(
            "",
            status_code=201,
            response_model=None,
            responses=answering(201, NewWebhook, "The webhook, with its secret"),
            openapi_extra=body_of(WebhookRequest),
        )
        async def make(request: Request, who: Principal = writes) -> Response:
            """Register an address. Its secret is in this answer and never shown again."""
            made = await self.webhooks.make(who, parse(WebhookRequest, await read_body(request)))
            return answer(made, 201, {"Location": f"{PATH}/{made['id']}", "Cache-Control": "no-store"})

        @router.delete("/{webhook_id}", status_code=204, response_model=None)
        async def delete(webhook_id: UUID, who: Principal = writes) -> Response:
            """Delete a webhook and its deliveries, also those that are pending."""
            await self.webhooks.delete(who, webhook_id)
            return Response(status_code=204)

    def _add_reading(self, router: APIRouter) -> None:
        reads = self.auth.scope("jobs:read")

        @router.get("", response_model=None, responses=answering(200, WebhookList, "A page of webhooks"))
        async def list_all(limit: Limit = 20, offset: Offset = 0, who: Principal = reads) -> Response:
            """Your webhooks, newest first; with `tenant:read` those of the tenant."""
            return answer(await self.webhooks.page(who, limit, offset))

        @router.get("/{webhook_id}", response_model=None, responses=answering(200, WebhookAnswer, "The webhook"))
        async def show(webhook_id: UUID, who: Principal = reads) -> Response:
            """A webhook, and whether it is disabled."""
            return answer(_webhook(await self.webhooks.one(who, webhook_id)))

    def _add_deliveries(self, router: APIRouter) -> None:
        reads, writes = self.auth.scope("jobs:read"), self.auth.scope("jobs:write")

        @router.get(
            "/{webhook_id}/deliveries",
            response_model=None,
            responses=answering(200, DeliveryList, "A page of deliveries"),
        )
        async def deliveries(
            webhook_id: UUID, state: State | None = None, limit: Limit = 20, offset: Offset = 0, who: Principal = reads
        ) -> Response:
            """What was told to a webhook, newest first. What was `given_up` stays here until it is swept."""
            return answer(await self.webhooks.deliveries(who, webhook_id, state=state, limit=limit, offset=offset))

        @router.post(
            "/{webhook_id}/deliveries/{delivery_id}/redeliver",
            status_code=202,
            response_model=None,
            responses=answering(202, DeliveryAnswer, "The delivery is pending again"),
        )
        async def redeliver(webhook_id: UUID, delivery_id: UUID, who: Principal = writes) -> Response:
            """Send a delivery again, at once and with the same webhook-id."""
            return answer(await self.webhooks.redeliver(who, webhook_id, delivery_id), 202)


def _webhook(row: WebhookRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "jobs": "tenant" if row.all_jobs else "own",
        "user_id": str(row.user_id),
        "created_at": rfc3339(row.created_at),
        "disabled_at": row.disabled_at and rfc3339(row.disabled_at),
        "disabled_reason": row.disabled_reason,
    }


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    waits = row.state == "pending" and not row.leased
    return {
        "id": str(row.id),
        "job_id": str(row.job_id),
        "event": row.event,
        "state": row.state,
        "attempts": row.attempts,
        "status": row.status,
        "error": row.error,
        "created_at": rfc3339(row.created_at),
        "next_attempt_at": rfc3339(row.due_at) if waits else None,
        "ended_at": row.ended_at and rfc3339(row.ended_at),
    }
