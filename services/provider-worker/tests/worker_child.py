"""A worker in a process of its own, to be killed: `python worker_child.py DSN OBJECTS SANDBOX`.

It has the real sandbox and no Kafka: it answers its own quotes as the ledger would, and ends when every item has.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chassis.database import make_engine
from objects import FolderStore
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings
from provider_worker.routing import Use
from tests.worker_builders import table, unfinished, worker


async def main(dsn: str, objects: str, sandbox: str) -> None:
    engine = make_engine(dsn, name="provider-worker")
    store = FolderStore(Path(objects))
    provider = SandboxProvider(SandboxSettings(Path(sandbox), instant=True))
    here = worker(engine, store, provider, routes=table(Use("sandbox", "sandbox-image-1")), lease_s=1.0)
    await here.reserve()
    while await unfinished(engine):
        await here.upkeep.revive()
        await here.work()
        await asyncio.sleep(0.05)
    await provider.close()
    await store.close()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
