"""Wiring: the one place where the gateway's parts are built and handed to each other."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from api_gateway.delivering import Deliverer
from api_gateway.events import Hearing
from api_gateway.http import application
from api_gateway.http.callbacks import Callbacks
from api_gateway.http.responses import signer
from api_gateway.http.webhooks import Webhooks
from api_gateway.keys import SCOPES, Principal
from api_gateway.settings import Settings
from api_gateway.store.deliveries import Deliveries
from api_gateway.store.jobs import Jobs
from api_gateway.store.keys import add_key
from api_gateway.store.remembering import Remembered
from api_gateway.store.sweeper import Sweeper
from api_gateway.watching import Watch
from chassis.database import make_engine, on_new_connection
from chassis.foreign import Policy
from chassis.http import InternalClient, make_app
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.service import Loop, Service
from objects.signing import derive_key
from schemas.topics import (
    API_GATEWAY,
    JOB_RESULTS,
    JOBS,
    PROMPT_SERVICE,
    PROVIDER_CALLBACKS,
    PROVIDER_WORKER,
    STORAGE_SERVICE,
)

_FIRST = Principal(
    UUID("00000000-0000-7000-8000-000000000001"), UUID("00000000-0000-7000-8000-000000000002"), frozenset(SCOPES)
)
"""Whose the bootstrap key is."""


def build(settings: Settings) -> Service:
    """The service, not yet started."""
    engine = make_engine(settings.database_url, name=API_GATEWAY, pool_size=settings.database_pool)
    outbox = Outbox(f"/services/{API_GATEWAY}")
    prompts = InternalClient(PROMPT_SERVICE, str(settings.prompt_service_url), settings.secret)
    worker = InternalClient(PROVIDER_WORKER, str(settings.provider_worker_url), settings.secret)
    storage = InternalClient(STORAGE_SERVICE, str(settings.storage_service_url), settings.secret)
    watch = Watch()
    jobs = Jobs(engine, outbox, watch, group=settings.accept_group)
    sweeper = Sweeper(
        engine,
        outbox,
        watch,
        cancel_patience=settings.cancel_patience_seconds,
        request_patience=settings.request_patience_seconds,
    )
    # Any public name; who else may be told is the operator's to say.
    reachable = Policy(hosts=("*",), trusted=settings.trusted_origins)
    deliverer = Deliverer(Deliveries(engine), settings.secret, reachable, keep=settings.webhook_keep_seconds)
    public = application.make(
        engine,
        jobs,
        watch,
        callbacks=Callbacks(engine, outbox, settings.secret),
        webhooks=Webhooks(engine, settings.secret, reachable),
        prompts=prompts,
        worker=worker,
        storage=storage,
        sign=signer(derive_key(settings.secret.get_secret_value()), settings.url_seconds),
        public_url=str(settings.asset_public_url),
        key_lifetime=settings.key_cache_seconds,
        upload_max_bytes=settings.upload_max_bytes,
    )
    remembered = Remembered()
    on_new_connection(engine, remembered.forget)
    # The chassis says when the process drains, through the application's health.
    watch.closing = lambda: public.state.health.draining
    return Service(
        name=API_GATEWAY,
        package="api_gateway",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=make_app(title=API_GATEWAY, public=False),
        public=public,
        subscriptions=Hearing(outbox, watch, remembered, deliverer.wake.set).subscriptions(),
        topics=[JOBS, JOB_RESULTS, PROVIDER_CALLBACKS],
        loops=[
            Loop("deadlines", sweeper.stop_overdue, idle=settings.sweep_seconds),
            Loop("giving-up", sweeper.give_up, idle=settings.sweep_seconds),
            Loop("requesting-again", sweeper.request_again, idle=settings.sweep_seconds * 5),
            Loop("webhooks", deliverer.step, idle=settings.sweep_seconds, wake=deliverer.wake),
            Loop("webhooks-clearing-up", deliverer.clear_up, idle=settings.sweep_seconds * 5),
            Loop("watch", sweeper.look_for_changes, idle=settings.watch_seconds),
        ],
        resources=[prompts, worker, storage, FirstKey(engine, settings.bootstrap_key), Accepting(jobs), deliverer],
        # Without Kafka jobs are still accepted and shown; what is to be said waits in the outbox.
        needs_kafka=False,
    )


@dataclass(frozen=True, slots=True)
class FirstKey:
    """Makes the bootstrap key usable when the service starts."""

    engine: AsyncEngine
    key: SecretStr | None

    async def start(self) -> None:
        if self.key is not None:
            async with self.engine.begin() as conn:
                await add_key(conn, uuid7(), self.key.get_secret_value(), _FIRST)

    async def stop(self) -> None:
        """The key stays."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """Ends when every request that is being written is written."""

    jobs: Jobs

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        await self.jobs.drain()
