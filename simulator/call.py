"""One request at a provider's door: what a wire's handler is given to work with."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from simulator import damage
from simulator.acceptance import Taken, Terms, cancelled, known, taken
from simulator.clock import NEVER
from simulator.faults import SUBMIT, Asked, Fault, Stage, asked, one_of
from simulator.generation import Ask, Generation, State
from simulator.refusals import Cut, Foreign, Hang, Reason, Refused
from simulator.settings import Account, ProviderSettings
from simulator.store import faults as fault_store
from simulator.store import generations
from simulator.wire import Endpoint, Wire

if TYPE_CHECKING:
    from simulator.simulation import Simulation


@dataclass(slots=True)
class Call:
    """A request with its body read and its key checked. What happens to it is noted for the log as it happens."""

    simulation: Simulation
    wire: Wire
    endpoint: Endpoint
    request: Request
    body: bytes
    account: Account
    # Faults of the admin API's rules that hit this request.
    rules: tuple[Fault, ...] = ()
    reference: str | None = None
    tenant: str | None = None
    external_id: str | None = None
    repeated: bool = False
    acted: list[Fault] = field(default_factory=list)
    unknown_tags: tuple[str, ...] = ()

    @property
    def now(self) -> float:
        return self.simulation.clock.now()

    @property
    def settings(self) -> ProviderSettings:
        return self.simulation.settings(self.wire.name)

    @property
    def base_url(self) -> str:
        """Of the simulator, without the provider and without a slash at the end."""
        return str(self.request.base_url).rstrip("/")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises `Refused`."""
        try:
            found = json.loads(self.body)
        except ValueError:
            raise Refused(Reason.INVALID, "the body is not valid JSON") from None
        if not isinstance(found, dict):
            raise Refused(Reason.INVALID, "the body is not a JSON object")
        return found

    async def accept(self, ask: Ask) -> Generation:
        """Take a submit and bill it. Raises what the wire, the account or a fault has against it.

        When this returns, the bill line is on the disk.
        """
        tags = asked(ask.prompt, self.request.headers.get("x-sim-faults", ""))
        ask = self._labelled(ask, tags)
        self.reference, self.tenant, self.unknown_tags = ask.reference, ask.tenant, tags.unknown
        terms = Terms(
            provider=self.wire.name,
            account=self.account,
            settings=self.settings,
            external_id=self.wire.new_id(),
            base_url=self.base_url,
            now=self.now,
            seed=self.simulation.seed,
        )

        def take(connection: sqlite3.Connection) -> tuple[Taken | None, tuple[Fault, ...]]:
            if found := known(connection, ask, terms):
                return found, ()
            faults = self._acting(connection, ask, tags.faults)
            if any(fault.stage is Stage.REFUSE for fault in faults if fault.endpoint == self.endpoint.name):
                return None, faults
            return taken(connection, ask, terms, faults), faults

        found, faults = await self.simulation.database.run(take)
        self.acted += faults
        if found is None:
            self.refuse_by(faults)
            raise AssertionError("a fault that refuses did not")
        self.external_id, self.repeated = found.generation.id, found.repeated
        if found.generation.callback_url:
            self.simulation.callbacks.look()
        self.lose_by(faults)
        return found.generation

    async def finished(self, generation: Generation) -> Generation:
        """Wait for the end of the work, as long as the caller does; raises `Refused` when it did not succeed."""
        await self.until(generation.ends_at)
        state = generation.state(self.now)
        if state is State.BLOCKED:
            raise Refused(Reason.POLICY, "the result was refused by policy", stage="output")
        if state is State.FAILED:
            raise Refused(Reason.FAILED, "the generation failed")
        if state is State.CANCELLED:
            raise Refused(Reason.CANCELLED, "the generation was cancelled")
        return generation

    async def find(self, external_id: str) -> Generation:
        """A generation of this account; raises `Refused`, also by faults that its submit asked for on this endpoint."""
        return await self._found(
            await self.simulation.database.run(
                lambda connection: generations.by_id(connection, self.wire.name, external_id)
            )
        )

    async def find_reference(self, reference: str) -> Generation:
        """The first generation of a reference; raises `Refused`."""
        self.reference = reference
        return await self._found(
            await self.simulation.database.run(
                lambda connection: generations.by_reference(connection, self.wire.name, reference)
            )
        )

    async def newest(self, *, model: str | None, skip: int, limit: int) -> list[Generation]:
        """The account's generations, the newest first."""
        return await self.simulation.database.run(
            lambda connection: generations.newest(
                connection, self.wire.name, self.account.name, model=model, skip=skip, limit=limit
            )
        )

    async def cancel(self, generation: Generation) -> Generation:
        """End it now; what had not started is refunded."""
        now = self.now
        ended = await self.simulation.database.run(lambda connection: cancelled(connection, generation, now))
        self.simulation.callbacks.look()
        return ended

    async def media(self, generation: Generation) -> list[bytes]:
        """The bytes of all outputs, damaged where that was asked for."""
        return [await damage.bytes_of(self.simulation, generation, output) for output in generation.outputs]

    async def links(self, generation: Generation) -> tuple[str, ...]:
        return await self.simulation.links(generation)

    def odd_status(self) -> str:
        """The variant of the `status` fault that acts on this answer: unknown, back, gone, extra, or nothing."""
        odd = one_of(self.acted, "status")
        return odd.variant if odd else ""

    async def until(self, moment: float) -> None:
        """Wait for a simulated moment; raises `Cut` when the caller goes away before."""
        gone = asyncio.Event()
        listening = asyncio.create_task(self._listen(gone))
        try:
            await self.simulation.clock.until(moment, gone)
        finally:
            listening.cancel()
        if gone.is_set():
            raise Cut

    def refuse_by(self, faults: tuple[Fault, ...]) -> None:
        """Raise what the first of the refusing faults says."""
        for fault in (fault for fault in faults if fault.stage is Stage.REFUSE):
            raise damage.refusal(fault)

    def lose_by(self, faults: tuple[Fault, ...]) -> None:
        """Raise what keeps the answer from the caller, though the work was accepted."""
        if one_of(faults, "drop_after_accept"):
            raise Cut
        if one_of(faults, "hang"):
            raise Hang
        if (paid := one_of(faults, "http")) and paid.variant == "paid":
            raise Foreign(paid.status)

    async def _found(self, generation: Generation | None) -> Generation:
        if generation is None or generation.account != self.account.name:
            raise Refused(Reason.NOT_FOUND, "there is no such generation")
        self.external_id, self.reference, self.tenant = generation.id, generation.reference, generation.tenant

        def act(connection: sqlite3.Connection) -> tuple[Fault, ...]:
            here = (fault for fault in generation.faults if fault.endpoint == self.endpoint.name)
            return tuple(fault for fault in here if fault_store.used(connection, generation.subject, fault))

        faults = await self.simulation.database.run(act)
        self.acted += faults
        self.refuse_by(faults)
        self.lose_by(faults)
        if self.odd_status() == "gone":
            raise Refused(Reason.NOT_FOUND, "there is no such generation")
        return generation

    def _acting(self, connection: sqlite3.Connection, ask: Ask, tags: tuple[Fault, ...]) -> tuple[Fault, ...]:
        """Faults of rules, and those of tags that are not used up; what acts later is counted later."""
        acting = (*self.rules, *(fault for fault in tags if self._acts(connection, ask, fault)))
        if self.wire.judges_prompts:
            return acting
        return tuple(replace(fault, variant="output") if fault.name == "policy" else fault for fault in acting)

    def _acts(self, connection: sqlite3.Connection, ask: Ask, fault: Fault) -> bool:
        if fault.endpoint != SUBMIT or fault.stage in {Stage.STATUS, Stage.BYTES, Stage.FILE, Stage.CALLBACK}:
            return True
        # A refused submit is sent again under its reference; work that fails is asked for anew, under another one.
        by_prompt = fault.stage is Stage.WORK or ask.reference is None
        subject = f"prompt {ask.prompt}" if by_prompt else f"reference {ask.reference}"
        return fault_store.used(connection, f"{self.wire.name} {subject}", fault)

    def _labelled(self, ask: Ask, tags: Asked) -> Ask:
        """Reference and tenant as the wire carries them, or else as the header or a tag names them."""
        headers = self.request.headers
        return replace(
            ask,
            reference=ask.reference or headers.get("x-sim-reference") or tags.labels.get("reference"),
            tenant=ask.tenant or headers.get("x-sim-tenant") or tags.labels.get("tenant"),
        )

    async def _listen(self, gone: asyncio.Event) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        gone.set()


async def forever(call: Call) -> None:
    """Hold the caller until it goes away."""
    await call.until(NEVER)
