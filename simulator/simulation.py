"""The parts of a running simulator, and what the admin API may turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulator.callbacks import Callbacks
from simulator.clock import Anchor, Clock, real_time
from simulator.faults import Fault
from simulator.generation import Generation
from simulator.links import link
from simulator.settings import Account, ProviderSettings, default_account
from simulator.signing import Signing, new_secret
from simulator.store import Database, faults, kept
from simulator.studio import Studio
from simulator.wire import Wire

_SECRET, _CLOCK, _SETTINGS, _ACCOUNTS = "secret", "clock", "settings/", "accounts/"


class Simulation:
    """Everything that requests share. `open` first, `close` last; belongs to one event loop."""

    database: Database
    clock: Clock
    signing: Signing
    callbacks: Callbacks

    def __init__(self, folder: Path, wires: Sequence[Wire], *, seed: str) -> None:
        self.folder = folder
        self.seed = seed
        self.wires: Mapping[str, Wire] = {wire.name: wire for wire in wires}
        self.studio = Studio()
        self._settings: dict[str, ProviderSettings] = {}
        self._accounts: dict[str, dict[str, Account]] = {}

    async def open(self) -> None:
        """Remember what an earlier run knew."""
        self.database = Database(self.folder / "simulator.sqlite3")
        await self._recall()
        self.callbacks = Callbacks(self)
        self.callbacks.start()

    async def close(self) -> None:
        await self.callbacks.close()
        await self.database.close()
        self.studio.close()

    def settings(self, provider: str) -> ProviderSettings:
        return self._settings[provider]

    def accounts(self, provider: str) -> Mapping[str, Account]:
        """By key."""
        return self._accounts[provider]

    async def links(self, generation: Generation) -> tuple[str, ...]:
        """Fresh result links of all outputs; those of `expired_url` are dead already."""
        begin = generation.ends_at if self.wires[generation.provider].links_end_together else self.clock.now()
        expires_at = begin + self.settings(generation.provider).url_ttl_s
        dead = generation.has("expired_url")
        if dead is not None and await self._use(generation, dead):
            expires_at = self.clock.now() - 1
        return tuple(
            link(self.signing, generation, index, expires_at=expires_at) for index in range(len(generation.outputs))
        )

    async def turn(self, provider: str, changes: Mapping[str, Any]) -> ProviderSettings:
        """Change settings of one provider; raises pydantic's ValidationError."""
        changed = ProviderSettings.model_validate(self._settings[provider].model_dump() | dict(changes))
        value = changed.model_dump(mode="json")
        await self.database.run(lambda connection: kept.put(connection, _SETTINGS + provider, value))
        self._settings[provider] = changed
        return changed

    async def give(self, provider: str, accounts: Sequence[Account]) -> None:
        """Replace the accounts of a provider."""
        value = [account.model_dump(mode="json") for account in accounts]
        await self.database.run(lambda connection: kept.put(connection, _ACCOUNTS + provider, value))
        self._accounts[provider] = {account.key: account for account in accounts}

    async def move_clock(self, *, advance_s: float, speed: float | None) -> None:
        anchor = asdict(self.clock.move(advance_s=advance_s, speed=speed))
        await self.database.run(lambda connection: kept.put(connection, _CLOCK, anchor))
        self.callbacks.look()

    async def reset(self) -> None:
        """Forget everything but the signing secret."""
        await self.database.run(lambda connection: kept.forget_all(connection, but=_SECRET))
        await self._recall()

    async def _use(self, generation: Generation, fault: Fault) -> bool:
        return await self.database.run(lambda connection: faults.used(connection, generation.subject, fault))

    async def _recall(self) -> None:
        def read(connection: sqlite3.Connection) -> tuple[str, Any, dict[str, Any], dict[str, Any]]:
            secret = kept.get(connection, _SECRET)
            if secret is None:
                secret = new_secret()
                kept.put(connection, _SECRET, secret)
            return (
                secret,
                kept.get(connection, _CLOCK),
                kept.starting_with(connection, _SETTINGS),
                kept.starting_with(connection, _ACCOUNTS),
            )

        secret, anchor, settings, accounts = await self.database.run(read)
        self.signing = Signing(secret)
        moved = Anchor(**anchor) if anchor else real_time()
        if hasattr(self, "clock"):
            self.clock.set(moved)
        else:
            self.clock = Clock(moved)
        for name, wire in self.wires.items():
            self._settings[name] = wire.settings.model_copy(update=_turned(settings.get(name)))
            kept_accounts = [Account.model_validate(one) for one in accounts.get(name, [])]
            self._accounts[name] = {one.key: one for one in kept_accounts or [default_account(wire.place)]}


def _turned(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return ProviderSettings.model_validate(stored).model_dump() if stored else {}
