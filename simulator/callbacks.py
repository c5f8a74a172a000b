"""The provider's own calls: made when due, tried again; sent twice, late or badly signed when asked."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import httpx

from simulator.faults import one_of
from simulator.generation import Generation
from simulator.store import callbacks, generations
from simulator.store.callbacks import Callback
from simulator.wire import CallbackAsk, Delivery

if TYPE_CHECKING:
    from simulator.simulation import Simulation

log = logging.getLogger(__name__)

_AT_ONCE = 16
_SECOND_COPY_AFTER_S = 0.05
_OLD_S = 3600
_AFTER_AN_ERROR_S = 1.0


class Callbacks:
    """Delivers what the table of callbacks says is due. Belongs to one event loop."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._look = asyncio.Event()
        # A private address is what a test listens on, and no proxy of the machine knows it.
        self._client = httpx.AsyncClient(trust_env=False, verify=False)  # noqa: S501
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    def look(self) -> None:
        """There may be something due earlier than it was."""
        self._look.set()

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await self._client.aclose()

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except Exception:
                log.exception("callback_unexpected_error")
                await asyncio.sleep(_AFTER_AN_ERROR_S)

    async def _step(self) -> None:
        """Makes the calls that are due, or waits for the next one."""
        database, clock = self._simulation.database, self._simulation.clock
        self._look.clear()
        now = clock.now()
        found = await database.run(lambda connection: callbacks.due(connection, now, _AT_ONCE))
        if found:
            await asyncio.gather(*map(self._try, found))
            return
        await clock.until(await database.run(lambda connection: callbacks.next_due(connection, now)), self._look)

    async def _try(self, one: Callback) -> None:
        simulation = self._simulation
        generation = await simulation.database.run(
            lambda connection: generations.by_id(connection, one.provider, one.external_id)
        )
        if generation is None:
            raise LookupError(f"a callback is owed for {one.external_id}, which is not there")
        attempt = await self._delivered(one, generation)
        retries = simulation.settings(one.provider).callback_retry_s
        again_at = None
        if not attempt["delivered"] and len(one.attempts) < len(retries):
            again_at = simulation.clock.now() + retries[len(one.attempts)]
        copy_at = simulation.clock.now() + _SECOND_COPY_AFTER_S
        again = any(earlier["delivered"] for earlier in one.attempts)
        twice = attempt["delivered"] and not again and generation.has("dup_webhook") is not None

        def write(connection: sqlite3.Connection) -> None:
            callbacks.tried(connection, one, attempt, again_at=again_at)
            if twice:
                callbacks.add_copy(connection, one, due_at=copy_at)

        await simulation.database.run(write)

    async def _delivered(self, one: Callback, generation: Generation) -> dict[str, Any]:
        """One attempt: when, what was answered, whether that counts as taken."""
        delivery = await self._delivery(one, generation)
        timeout = self._simulation.settings(one.provider).callback_timeout_s
        facts: dict[str, Any] = {"at": self._simulation.clock.now(), "delivered": False}
        try:
            answer = await self._client.post(
                one.url, content=delivery.body, headers=dict(delivery.headers), timeout=timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return facts | {"error": type(error).__name__}
        return facts | {"status": answer.status_code, "delivered": answer.status_code < 400}

    async def _delivery(self, one: Callback, generation: Generation) -> Delivery:
        simulation = self._simulation
        make = simulation.wires[one.provider].callback
        if make is None:
            raise LookupError(f"{one.provider} has no callbacks, but owes one")
        bad = one_of(generation.faults, "bad_signature")
        old = bad is not None and bad.variant == "old"
        return make(
            CallbackAsk(
                generation=generation,
                stage=one.stage,
                links=await simulation.links(generation),
                signing=simulation.signing,
                now=simulation.clock.now(),
                signed_at=int(time.time()) - (_OLD_S if old else 0),
                forged=bad is not None and not old,
            )
        )
