"""Wiring: the one place where cost-ledger's parts are built and handed to each other."""

from __future__ import annotations

from uuid import UUID

from chassis.database import make_engine
from chassis.outbox import Outbox
from chassis.service import Loop, Service
from cost_ledger import events, http, store
from cost_ledger.reconciliation import Books, Reconciler
from cost_ledger.settings import Settings
from schemas.topics import COST_LEDGER, COSTS


def build(settings: Settings) -> Service:
    """The service, not yet started."""
    engine = make_engine(settings.database_url, name=COST_LEDGER, pool_size=settings.database_pool)
    outbox = Outbox(f"/services/{COST_LEDGER}")
    default_limit = settings.default_budget_micros

    async def read_page(after: UUID, limit: int) -> list[Books]:
        async with engine.begin() as conn:
            return await store.read_books_page(conn, after=after, limit=limit)

    return Service(
        name=COST_LEDGER,
        package="cost_ledger",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=http.make(engine, outbox, secret=settings.secret, default_limit=default_limit),
        subscriptions=[events.subscription(outbox, default_limit=default_limit)],
        topics=[COSTS],
        loops=[Loop("reconciliation", Reconciler(read_page).step, idle=settings.reconcile_seconds)],
    )
