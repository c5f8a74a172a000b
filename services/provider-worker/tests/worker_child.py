"""A worker in a process of its own, to be killed.

It has the real sandbox, or a provider of the route file as the environment leads to it, and no Kafka: it plans what
waits, if the environment leads to a storage-service, answers its own quotes as the ledger would, and ends when every
item has. Processes are forked from one that has everything
imported, which they leave as soon as they begin.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chassis import crash
from chassis.database import make_engine
from chassis.internal_client import InternalClient
from objects import FolderStore
from provider_worker.adapters.interface import ProviderAdapter
from provider_worker.adapters.registry import maker_of
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings
from provider_worker.engine.presence import present_in
from provider_worker.route_file import read_routes
from provider_worker.routing import RetryPolicy, RouteTable, Use
from tests.worker_builders import table, unfinished, worker


def of_route_file(name: str) -> tuple[ProviderAdapter, RouteTable]:
    """The provider with its routes, which wait for nothing for long."""
    routes = read_routes(only={name})
    adapter = maker_of(routes.adapters[name], {})(routes.configs[name])
    quick = {
        kind: replace(route, poll_s=0.05, uses=tuple(use for use in route.uses if use.provider == name))
        for kind, route in routes.table.routes.items()
    }
    patience = {name: RetryPolicy(waits=(0.05, 0.1, 0.2))}
    return adapter, replace(routes.table, routes=quick, retries=patience, unknown_grace_s=0.5)


async def main(dsn: str, objects: str, sandbox: str, name: str = "") -> None:
    engine = make_engine(dsn, name="provider-worker")
    store = FolderStore(Path(objects))
    if name:
        provider, routes = of_route_file(name)
    else:
        provider = SandboxProvider(SandboxSettings(Path(sandbox), instant=True))
        routes = table(Use("sandbox", "sandbox-1"))
    storage = InternalClient("storage-service", os.environ.get("STORAGE_SERVICE_URL", ""), "a secret of the tests")
    here = worker(engine, store, provider, routes=routes, lease_s=1.0, present=present_in(storage))
    await here.plan()
    await here.reserve()
    while await unfinished(engine):
        await here.upkeep.revive()
        await here.work()
        await asyncio.sleep(0.05)
    await provider.close()
    await storage.stop()
    await store.close()
    await engine.dispose()


def begin(arguments: list[str], environ: Mapping[str, str], crash_at: str | None) -> None:
    """What a forked process does."""
    os.environ.update(environ)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process lives
    crash._CHOSEN = crash_at
    asyncio.run(main(*arguments))


async def run_child(arguments: list[str], environ: Mapping[str, str] | None = None, crash_at: str | None = None) -> int:
    """The exit code of a worker process; it dies at the crash point of this name."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=begin, args=(arguments, dict(environ or {}), crash_at), daemon=True)
    child.start()
    try:
        await asyncio.to_thread(child.join, 120)
        assert child.exitcode is not None, "the worker did not end"
        return child.exitcode
    finally:
        child.kill()
        await asyncio.to_thread(child.join)
