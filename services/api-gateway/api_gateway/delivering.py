"""Deliveries that are due: claimed by lease, posted outside of any transaction, ended behind a fence."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from uuid import UUID

import httpx
from pydantic import SecretStr

from api_gateway import metrics
from api_gateway.store.deliveries import Deliveries
from api_gateway.webhooks import (
    LONGEST_RETRY_AFTER_S,
    MOST_ATTEMPTS,
    Answer,
    Delivery,
    Outcome,
    outcome_of,
    secret_of,
    signed_headers,
)
from chassis import crash
from chassis.foreign import ForeignError, Limits, Policy, Resolve, guarded_client, post
from chassis.telemetry import get_logger

log = get_logger()

PLACES = 64
"""Deliveries this process has on their way at once."""
OF_ONE_TENANT = 16
OF_ONE_WEBHOOK = 4
TIMEOUT_S = 15.0
LEASE_S = 45.0
"""Longer than an attempt takes with its transaction: what is leased when its process dies is sent again after this."""
_LARGEST_ANSWER = 4096
_BATCH = 500
_LAST_SECONDS = 2.0
_HEADERS = {"content-type": "application/json", "user-agent": "backlot-webhooks/1"}


class Deliverer:
    """Sends what is due. Any number of replicas may do it at once; a receiver that hangs holds up nobody else.

    `policy` says where it may go, `timeout` is in seconds for one attempt; `keep`: how many seconds what has ended
    stays. `wake` ends an idle wait of the loop early.
    """

    def __init__(
        self,
        store: Deliveries,
        secret: SecretStr,
        policy: Policy,
        *,
        keep: float,
        timeout: float = TIMEOUT_S,
        resolve: Resolve | None = None,
    ) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._secret = secret
        self._keep = keep
        self._limits = Limits(max_bytes=_LARGEST_ANSWER, seconds=timeout)
        self._client = guarded_client(policy, timeout=timeout, resolve=resolve)
        self._running: set[asyncio.Task[None]] = set()
        self._of_webhooks: Counter[UUID] = Counter()
        self._of_tenants: Counter[UUID] = Counter()
        self._closing = False

    async def step(self) -> bool:
        """Begins what is due and has a place; False when there was nothing. It does not wait for the answers."""
        places = PLACES - len(self._running)
        if self._closing or places <= 0:
            return False
        claimed = await self._store.claim(
            places=places,
            each=OF_ONE_WEBHOOK,
            of_tenant=OF_ONE_TENANT,
            lease=LEASE_S,
            webhooks=self._of_webhooks,
            tenants=self._of_tenants,
        )
        for delivery in claimed:
            self._begin(delivery)
        return bool(claimed)

    async def clear_up(self) -> bool:
        """Gives up what is for disabled webhooks, sweeps what ended long ago, and says how old the oldest is."""
        given_up = await self._store.give_up(_BATCH)
        metrics.WEBHOOK_DELIVERIES.labels("given_up").inc(given_up)
        swept = await self._store.sweep(self._keep, _BATCH)
        metrics.WEBHOOKS_SWEPT.inc(swept)
        metrics.OLDEST_WEBHOOK.set(await self._store.oldest())
        return _BATCH in {given_up, swept}

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Ends when what is on its way has its answer, or soon: the rest is sent again when its lease has run out."""
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.idle()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._client.aclose()

    async def idle(self) -> None:
        """Returns when nothing is on its way."""
        while self._running:
            await asyncio.wait(self._running)

    def _begin(self, delivery: Delivery) -> None:
        self._of_webhooks[delivery.webhook_id] += 1
        self._of_tenants[delivery.tenant_id] += 1
        task = asyncio.create_task(self._deliver(delivery))
        self._running.add(task)
        task.add_done_callback(lambda ended: self._free(delivery, ended))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            outcome = outcome_of(await self._send(delivery), delivery.attempts)
            crash.point("gateway.before_delivered")
            if await self._store.end(delivery, outcome):
                _say(delivery, outcome)
        except Exception as error:
            # Its lease runs out, and it is sent again.
            log.error("webhook_delivery_broken", exc_info=error, **_facts(delivery))

    def _free(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        for counter, key in ((self._of_webhooks, delivery.webhook_id), (self._of_tenants, delivery.tenant_id)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        self.wake.set()

    async def _send(self, delivery: Delivery) -> Answer:
        if delivery.attempts > MOST_ATTEMPTS:
            return Answer(None, "its attempts were cut off before an answer could be written down")
        headers = _HEADERS | signed_headers(secret_of(self._secret, delivery.webhook_id), delivery)
        try:
            reply = await post(self._client, delivery.url, delivery.body.encode(), self._limits, headers=headers)
        except ForeignError as error:
            return Answer(None, error.reason)
        return Answer(reply.status, retry_after=_seconds(reply.headers))


def _seconds(headers: httpx.Headers) -> int:
    text = headers.get("retry-after", "")
    return min(int(text), LONGEST_RETRY_AFTER_S) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _say(delivery: Delivery, outcome: Outcome) -> None:
    name = "retried" if outcome.state == "pending" else outcome.state
    metrics.WEBHOOK_DELIVERIES.labels(name).inc()
    if outcome.state == "delivered":
        return
    log.warning(
        "webhook_delivery_failed" if outcome.state == "pending" else "webhook_delivery_given_up",
        status=outcome.status,
        reason=outcome.error,
        **_facts(delivery),
    )
    if outcome.gone:
        log.warning("webhook_disabled", webhook_id=str(delivery.webhook_id), tenant=str(delivery.tenant_id))


def _facts(delivery: Delivery) -> dict[str, str | int]:
    """What a line is about. Never the address: its query may hold somebody's secret."""
    return {
        "webhook_id": str(delivery.webhook_id),
        "delivery_id": str(delivery.id),
        "job_id": str(delivery.job_id),
        "tenant": str(delivery.tenant_id),
        "attempts": delivery.attempts,
    }
