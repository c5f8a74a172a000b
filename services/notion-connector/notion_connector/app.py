"""Wiring: the one place where notion-connector's parts are built and handed to each other."""

from __future__ import annotations

import asyncio

from chassis.database import make_engine
from chassis.outbox import Outbox
from chassis.service import Loop, Service
from notion_connector import events, http
from notion_connector.columns import Columns, Statuses
from notion_connector.gateway import Gateway
from notion_connector.notion import Notion
from notion_connector.reading import Reader
from notion_connector.recognising import Recogniser
from notion_connector.settings import Settings
from notion_connector.store.notebook import Notebook
from notion_connector.submitting import Submitter
from notion_connector.writing import Writer

NAME = "notion-connector"
# One that waits for an answer does not keep the others from their five seconds.
WRITERS = 4


def build(settings: Settings) -> Service:
    """The connector, not yet started."""
    engine = make_engine(settings.database_url, name=NAME, pool_size=settings.database_pool)
    columns, statuses = columns_of(settings), statuses_of(settings)
    notion = Notion(str(settings.notion_url), settings.token)
    gateway = Gateway(str(settings.gateway_url), settings.api_key)
    notebook = Notebook(engine)
    noticed, heard, changed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def wake() -> None:
        for one in (noticed, heard, changed):
            one.set()

    reader = Reader(notion, notebook, settings.notion_database_id, columns, statuses, noticed)
    submitter = Submitter(notion, gateway, notebook, columns, statuses, changed)
    recogniser = Recogniser(gateway, notebook, changed)
    writer = Writer(notion, notebook, columns, statuses, settings.give_up_seconds)
    return Service(
        name=NAME,
        package="notion_connector",
        settings=settings,
        engine=engine,
        outbox=Outbox(f"/platforms/{NAME}"),
        internal=http.make(),
        subscriptions=[events.subscription(wake)],
        loops=[
            Loop("reading", reader.step, idle=settings.poll_seconds),
            Loop("submitting", submitter.step, wake=noticed),
            Loop("recognising", recogniser.step, wake=heard),
            *(Loop(f"writing-{number}", writer.step, wake=changed) for number in range(1, WRITERS + 1)),
        ],
        resources=[notion, gateway],
    )


def columns_of(settings: Settings) -> Columns:
    """The names of the columns."""
    return Columns(**{name: getattr(settings, f"property_{name}") for name in Columns.__dataclass_fields__})


def statuses_of(settings: Settings) -> Statuses:
    """The values of the status."""
    return Statuses(**{name: getattr(settings, f"status_{name}") for name in Statuses.__dataclass_fields__})
