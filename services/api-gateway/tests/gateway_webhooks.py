"""Webhooks of a running gateway, jobs that end, and what is sent of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from api_gateway.delivering import Deliverer
from api_gateway.store.deliveries import Deliveries
from api_gateway.webhooks import Delivery
from chassis.foreign import Policy
from tests.gateway_harness import SECRET, Gateway
from tests.gateway_receiver import Receiver
from tests.gateway_stories import completed_picture


async def webhook(
    gateway: Gateway, url: str, *events: str, client: httpx.AsyncClient | None = None, **more: Any
) -> dict[str, Any]:
    """A new webhook, with its secret; without events it hears of each end."""
    body = {"url": url, **({"events": list(events)} if events else {}), **more}
    answer = await (client or gateway.client).post("/api/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def finish(gateway: Gateway, **body: Any) -> UUID:
    """A picture that was asked for, made and paid."""
    job_id = await gateway.make(**body)
    await gateway.hear_all(completed_picture(job_id))
    return job_id


async def send(gateway: Gateway) -> None:
    """Sends all that is due, and waits for the answers."""
    while await gateway.deliverer.step():
        await gateway.deliverer.idle()


async def deliveries(gateway: Gateway, hook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """What the page says of a webhook's deliveries, newest first."""
    answer = await gateway.client.get(f"/api/v1/webhooks/{hook['id']}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def only(gateway: Gateway, hook: dict[str, Any]) -> dict[str, Any]:
    """The one delivery there is."""
    [found] = await deliveries(gateway, hook)
    return found


async def redeliver(gateway: Gateway, hook: dict[str, Any], delivery_id: str) -> httpx.Response:
    return await gateway.client.post(f"/api/v1/webhooks/{hook['id']}/deliveries/{delivery_id}/redeliver")


async def make_due(gateway: Gateway) -> None:
    """The time of the next attempt has come, and every lease has run out."""
    await gateway.run("UPDATE webhook_delivery SET due_at = now() WHERE state = 'pending'")


def replica(gateway: Gateway, receiver: Receiver, *, timeout: float = 15.0) -> Deliverer:
    """Another process over the same database."""
    policy = Policy(trusted=frozenset({receiver.origin}))
    return Deliverer(Deliveries(gateway.engine), SecretStr(SECRET), policy, keep=3600, timeout=timeout)


async def claim(gateway: Gateway) -> list[Delivery]:
    """What a process takes that does no more than that."""
    return await Deliveries(gateway.engine).claim(places=10, each=10, of_tenant=10, lease=60, webhooks={}, tenants={})
