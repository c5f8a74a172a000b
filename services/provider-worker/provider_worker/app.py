"""The wiring: everything this process is made of."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import httpx

from chassis.database import make_engine
from chassis.errors import StartError
from chassis.foreign import Policy, guarded_client
from chassis.http import InternalClient, make_app
from chassis.ids import uuid7
from chassis.loops import Loop
from chassis.outbox import Outbox
from chassis.service import Service
from chassis.telemetry import get_logger
from media import Checker, Signer
from objects import FolderStore, StorageError
from provider_worker import operating
from provider_worker.adapters.config import CURRENCY, Price, ProviderConfig
from provider_worker.adapters.interface import MediaKind, ProviderAdapter, ProviderError
from provider_worker.adapters.registry import Make, maker_of
from provider_worker.adapters.sandbox import BillError, SandboxProvider, SandboxSettings, check_price
from provider_worker.callbacks import callback_address
from provider_worker.engine.attempts import Tools
from provider_worker.engine.bills import Bills
from provider_worker.engine.callbacks import Callbacks
from provider_worker.engine.claiming import Claimer
from provider_worker.engine.endings import Endings
from provider_worker.engine.fetching import Fetching
from provider_worker.engine.finishing import CheckedFinisher
from provider_worker.engine.gate import StoreGate
from provider_worker.engine.health import Health
from provider_worker.engine.inputs import Inputs, content_of
from provider_worker.engine.leases import Leases
from provider_worker.engine.plannings import Plannings
from provider_worker.engine.presence import present_in
from provider_worker.engine.production import CallbackUrl, Production
from provider_worker.engine.redownloads import Redownloads
from provider_worker.engine.upkeep import Upkeep
from provider_worker.events import Hears, subscriptions
from provider_worker.http import ProviderFacts, internal_routes
from provider_worker.planning import Planner
from provider_worker.route_file import Routes, read_routes
from provider_worker.routing import RouteTable, pool_of
from provider_worker.settings import OperatorSettings, Settings
from provider_worker.store.callbacks import CallbackDatabase
from provider_worker.store.database import TaskDatabase
from provider_worker.store.plannings import PlanningDatabase
from provider_worker.store.redownloads import RedownloadDatabase
from provider_worker.tasks import Pool
from schemas.parts import Kind
from schemas.topics import GENERATIONS, PROVIDER_WORKER, STORAGE_SERVICE

log = get_logger()

SOURCE = f"/services/{PROVIDER_WORKER}"
REVIVE_EVERY_S = 0.25
BREAKERS_EVERY_S = 1.0
CALLBACKS_EVERY_S = 0.5
BILLS_EVERY_S = 5.0
REDOWNLOADS_EVERY_S = 1.0
PLANNINGS_EVERY_S = 0.5
COUNT_EVERY_S = 10.0
QUOTES_EVERY_S = 10.0
FORGOTTEN_EVERY_S = 30.0
SWEEP_EVERY_S = 600.0
HAND_BACK_AFTER_S = 2.0
MOST_FETCHES = 32


@dataclass(frozen=True, slots=True)
class _Hands:
    """What works outside of transactions: let go of in order, bytes last."""

    leases: Leases
    production: Production
    providers: Mapping[str, ProviderAdapter]
    checker: Checker
    signer: Signer | None
    objects: FolderStore
    storage: InternalClient
    foreign: httpx.AsyncClient

    async def start(self) -> None:
        """Everything starts when it is first needed."""

    async def stop(self) -> None:
        """Lets short calls end, and those nobody could take up; hands long ones to other processes, closes."""
        await self.leases.release(HAND_BACK_AFTER_S, self.production.calling)
        for provider in self.providers.values():
            await provider.close()
        await self.storage.stop()
        await self.foreign.aclose()
        await self.checker.close()
        if self.signer is not None:
            await self.signer.close()
        await self.objects.close()


def _warn_of_open_key(settings: Settings) -> None:
    """No refusal: a mounted secret is often readable by all who are in its container, who are this process alone."""
    key = settings.provenance_key
    if settings.provenance_sign and key is not None and key.stat().st_mode & stat.S_IROTH:
        log.warning("provenance_key_readable_by_all", path=str(key), mend=f"chmod 600 {key}")


def build(settings: Settings) -> Service:
    """The service for `settings`; touches no database and no broker yet."""
    routes = read_routes(settings.routes_file, only=settings.only)
    table = _with_cap(routes.table, settings.images_per_tenant)
    providers = _providers(routes, settings)
    objects = _open(settings)
    engine = make_engine(settings.database_url, name=PROVIDER_WORKER, pool_size=settings.database_pool)
    outbox = Outbox(SOURCE)
    store = TaskDatabase(
        engine,
        outbox,
        currency=table.currency,
        price_version=table.price_version,
        accounts=table.accounts,
        asks=providers,
    )
    checker = Checker()
    storage = InternalClient(STORAGE_SERVICE, str(settings.storage_service_url), settings.secret)
    foreign = guarded_client(Policy(hosts=settings.input_names), most=MOST_FETCHES)
    inputs = Inputs(content_of(storage), foreign, checker)
    leases = Leases(store, lease_s=settings.lease_seconds)
    claimer = Claimer(store, leases, StoreGate(objects), pools_of(table), hands=settings.hands)
    random, health = Random(), Health(store)  # noqa: S311 - jitter
    production = Production(
        providers,
        Fetching(objects),
        table,
        still_ours=leases.is_ours,
        random=random,
        is_taken=store.is_taken,
        disabled=routes.disabled,
        callback_url=_callback_url(settings),
        keys=_keys(routes),
        inputs=inputs.held,
    )
    material = settings.signing_material()
    _warn_of_open_key(settings)
    signer = Signer(material) if material else None
    finisher = CheckedFinisher(objects, checker, signer)
    endings = Endings(table, production.price, production.resendable, uuid7, random, health.is_closed)
    tools = Tools(store, production, finisher, endings, health, claimer.freed)
    bills = Bills(store, production, finisher, grace_s=table.unknown_grace_s)
    upkeep = Upkeep(
        store,
        objects,
        claimer.ready,
        quote_age_s=settings.quote_age_seconds,
        staged_age_s=settings.staged_age_seconds,
    )
    callbacks = Callbacks(CallbackDatabase(engine), providers, claimer.ready, asyncio.Event())
    redownloads = Redownloads(RedownloadDatabase(engine, outbox), production, finisher, asyncio.Event())
    planner = Planner(table, production.price, uuid7, health.is_closed)
    waiting = PlanningDatabase(engine, outbox, table.price_version)
    plannings = Plannings(waiting, planner, present_in(storage), asyncio.Event())
    hears = Hears(outbox, planner, plannings.wake.set)
    internal = make_app(title="provider-worker, internal", public=False)
    internal.include_router(internal_routes(_facts(routes, table, providers, health.why_closed), settings.secret))
    return Service(
        name=PROVIDER_WORKER,
        package="provider_worker",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=internal,
        subscriptions=subscriptions(hears, claimer.ready, callbacks.wake.set, redownloads.wake.set),
        topics=[GENERATIONS],
        loops=[
            Loop("claim", lambda: claimer.step(tools), idle=1.0, wake=claimer.wake),
            Loop("leases", leases.renew, idle=settings.lease_seconds / 4),
            Loop("revive", upkeep.revive, idle=REVIVE_EVERY_S),
            Loop("breakers", health.refresh, idle=BREAKERS_EVERY_S),
            Loop("callbacks", callbacks.step, idle=CALLBACKS_EVERY_S, wake=callbacks.wake),
            Loop("callbacks-sweep", callbacks.sweep, idle=SWEEP_EVERY_S),
            Loop("bills", bills.step, idle=BILLS_EVERY_S),
            Loop("redownloads", redownloads.step, idle=REDOWNLOADS_EVERY_S, wake=redownloads.wake),
            Loop("plannings", plannings.step, idle=PLANNINGS_EVERY_S, wake=plannings.wake),
            Loop("open-bills", bills.count, idle=COUNT_EVERY_S),
            Loop("quotes", upkeep.ask_again, idle=QUOTES_EVERY_S),
            Loop("forgotten-turns", upkeep.announce_forgotten, idle=FORGOTTEN_EVERY_S),
            Loop("staged-sweep", upkeep.sweep, idle=SWEEP_EVERY_S),
        ],
        resources=[_Hands(leases, production, providers, checker, signer, objects, storage, foreign)],
        resource_seconds=max(settings.drain_seconds / 5, settings.lease_seconds),
    )


async def operate(settings: OperatorSettings, arguments: Sequence[str]) -> int:
    """What an operator does by hand, beside the running service; see `operating`."""
    wanted = operating.wanted(arguments)
    engine = make_engine(settings.database_url, name=f"{PROVIDER_WORKER}-operator", pool_size=1)
    store = TaskDatabase(engine, Outbox(SOURCE), currency=CURRENCY, price_version="")
    try:
        return await operating.operate(store, wanted)
    finally:
        await engine.dispose()


def _keys(routes: Routes) -> list[str]:
    return [config.api_key.get_secret_value() for config in routes.configs.values() if config.api_key is not None]


def _callback_url(settings: Settings) -> CallbackUrl:
    base = settings.callback_url
    if base is None:
        return lambda task: None
    return lambda task: callback_address(str(base), settings.secret, task.offer.provider, task.attempt_id)


def _with_cap(table: RouteTable, images_per_tenant: int | None) -> RouteTable:
    if images_per_tenant is None or Kind.IMAGE not in table.routes:
        return table
    route = replace(table.routes[Kind.IMAGE], per_tenant=images_per_tenant)
    return replace(table, routes={**table.routes, Kind.IMAGE: route})


def pools_of(table: RouteTable) -> list[Pool]:
    """The slots of every route."""
    return [
        Pool(pool_of(use.provider, route.kind), use.provider, route.per_tenant, route.timeout_of(use.provider))
        for route in table.routes.values()
        for use in route.uses
    ]


def _providers(routes: Routes, settings: Settings) -> dict[str, ProviderAdapter]:
    """An adapter for each usable provider; raises `StartError` with what is wrong about all of them."""
    given: dict[str, Make] = {"sandbox": partial(_sandbox, settings, routes.table)}
    made, problems = {}, []
    for name, config in routes.configs.items():
        try:
            made[name] = maker_of(routes.adapters[name], given)(config)
        except StartError as error:
            problems += [f"routes: the provider {name}: {problem}" for problem in error.problems]
    problems += _misrouted(routes.table, made)
    if problems:
        raise StartError(problems)
    return made


def _misrouted(table: RouteTable, providers: Mapping[str, ProviderAdapter]) -> Iterator[str]:
    for kind, route in table.routes.items():
        for name in (use.provider for use in route.uses if use.provider in providers):
            kinds = {found.kind.value for found in providers[name].capabilities()}
            if kind.value not in kinds:
                yield f"routes: the route for {kind.value} uses {name}, which makes {', '.join(sorted(kinds))}"


def _sandbox(settings: Settings, table: RouteTable, config: ProviderConfig) -> ProviderAdapter:
    try:
        for kind in (
            kind for kind, route in table.routes.items() if config.name in {use.provider for use in route.uses}
        ):
            check_price(MediaKind(kind.value), config.prices)
        return SandboxProvider(
            SandboxSettings(
                folder=settings.sandbox_dir,
                prices=config.prices,
                latency_s=settings.sandbox_latency_seconds,
                instant=settings.sandbox_instant,
            )
        )
    except ProviderError as error:
        raise StartError([error.message]) from error
    except BillError as error:
        raise StartError([f"PROVIDER_WORKER_SANDBOX_DIR: {error}"]) from error


def _open(settings: Settings) -> FolderStore:
    try:
        return FolderStore(settings.objects_dir)
    except StorageError as error:
        raise StartError([f"BACKLOT_OBJECTS_DIR: the object store can not be opened: {error}"]) from error


def _facts(
    routes: Routes,
    table: RouteTable,
    providers: Mapping[str, ProviderAdapter],
    why_closed: Callable[[str], str | None],
) -> dict[str, ProviderFacts]:
    return {name: _facts_of(name, routes, table, providers.get(name), why_closed) for name in routes.adapters}


def _facts_of(
    name: str,
    routes: Routes,
    table: RouteTable,
    provider: ProviderAdapter | None,
    why_closed: Callable[[str], str | None],
) -> ProviderFacts:
    uses = [(route, use) for route in table.routes.values() for use in route.uses if use.provider == name]
    config, account = routes.configs.get(name), table.accounts.get(name)
    return ProviderFacts(
        name=name,
        adapter=routes.adapters[name],
        model=config.model if config else next((use.model for _, use in uses), ""),
        per_tenant={route.kind.value: route.per_tenant for route, _ in uses},
        why_not=routes.disabled.get(name) or (None if uses else "no route uses it"),
        account_limit=account.concurrency if account else None,
        capabilities=provider.capabilities() if provider else (),
        prices=[price for price in config.prices.entries if _applies(price, config)] if config else (),
        why_closed=partial(why_closed, name),
    )


def _applies(price: Price, config: ProviderConfig) -> bool:
    """Whether anything that is asked of the provider as it is configured can have this price."""
    given = {**config.options, "model": config.model}
    return all(str(given[name]) == value for name, value in price.facts.items() if name in given)
