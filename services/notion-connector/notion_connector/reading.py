"""Looks through the Notion database for pages that ask for pictures (R155), and takes up what they ask for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from chassis.telemetry import get_logger
from notion_connector.columns import Columns, Statuses, types_of
from notion_connector.notion import Away, Notion, Refused
from notion_connector.pacing import NotNow, paced
from notion_connector.store.notebook import Notebook

log = get_logger()

REFRESH_SECONDS = 600.0
_FILTERED = ("status", "select")


@dataclass(slots=True)
class Reader:
    """The step of the reading loop. `noticed` is set when there is something to submit."""

    notion: Notion
    notebook: Notebook
    database_id: UUID
    columns: Columns
    statuses: Statuses
    noticed: asyncio.Event
    _filters: dict[str, dict[str, Any]] = field(default_factory=dict)
    _read_at: float = 0.0
    _trouble: str | None = None

    async def step(self) -> bool:
        """Looks through all data sources once; always False, for the next look is after a pause."""
        try:
            seen_at = await self.notebook.now()
            for source, where in (await self._sources()).items():
                await self._look(source, where, seen_at)
        except NotNow:
            return False
        except (Away, Refused) as error:
            self._filters.clear()
            self._tell(str(error))
        else:
            self._tell(None)
        return False

    async def _look(self, source: str, where: dict[str, Any], seen_at: Any) -> None:
        cursor: str | None = None
        while True:
            pages, cursor = await paced(self.notebook, partial(self.notion.query, source, where, cursor))
            if await self.notebook.notice([UUID(page["id"]) for page in pages], seen_at):
                self.noticed.set()
            if cursor is None:
                return

    async def _sources(self) -> dict[str, dict[str, Any]]:
        """Each data source of the database that has a status, with the filter for pages that ask."""
        if self._filters and time.monotonic() - self._read_at < REFRESH_SECONDS:
            return self._filters
        found: dict[str, dict[str, Any]] = {}
        for source in await paced(self.notebook, partial(self.notion.data_sources, self.database_id)):
            about = await paced(self.notebook, partial(self.notion.data_source, source))
            kind = types_of(about).get(self.columns.status)
            if kind in _FILTERED:
                found[source] = {"property": self.columns.status, kind: {"equals": self.statuses.ask}}
        if not found:
            raise Refused("no_status_column", f"the database has no status or select named {self.columns.status}")
        self._filters, self._read_at = found, time.monotonic()
        return found

    def _tell(self, trouble: str | None) -> None:
        """Says what is wrong once, and when it is over."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            log.info("notion_read_again")
        else:
            log.warning("notion_not_read", reason=trouble)
