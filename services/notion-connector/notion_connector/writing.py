"""Makes pages show what they should: at Notion's pace, the newest state alone, again until Notion has taken it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from chassis.telemetry import get_logger
from notion_connector.columns import Columns, Statuses, Types, Value, text_of, types_of, written
from notion_connector.metrics import GIVEN_UP, SHOWN
from notion_connector.notion import Away, Notion, Refused
from notion_connector.pacing import NotNow, paced, pause
from notion_connector.showing import shown
from notion_connector.store.notebook import Notebook
from notion_connector.store.pages import Work

log = get_logger()

# Notion works on a request for at most a minute: https://developers.notion.com/reference/status-codes
DOUBT_SECONDS = 60.0


class LeaseLost(Exception):
    """Another replica has the page now."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The step of the writing loops. `give_up_seconds`: how long a page that Notion refuses is tried again."""

    notion: Notion
    notebook: Notebook
    columns: Columns
    statuses: Statuses
    give_up_seconds: float
    doubt_seconds: float = DOUBT_SECONDS

    async def step(self) -> bool:
        """Writes one page; False when none was due."""
        work = await self.notebook.next_page()
        if work is None:
            return False
        try:
            status = await self._write(work)
        except NotNow as error:
            await self.notebook.released(work, error.seconds, failed=False)
        except Away as error:
            doubt = self.doubt_seconds if error.doubtful else 0.0
            await self.notebook.released(work, pause(work.failures), doubt=doubt)
            log.info("page_not_written", page_id=work.page_id, reason=str(error))
        except Refused as error:
            await self._refused(work, error)
        except LeaseLost:
            log.info("page_lease_lost", page_id=work.page_id)
        else:
            took = await self.notebook.shown(work, status)
            if took is not None and work.changed:
                SHOWN.observe(took)
        return True

    async def _write(self, work: Work) -> str | None:
        """Writes what the page should show; the status that it was given."""
        values = shown(self.columns, self.statuses, work.job, work.note, asking=work.asking)
        if not values or (not work.changed and not await self._is_overwritten(work, values)):
            return None
        # A status that stands there is not sent again: its user may have asked for more since it was read last.
        if work.changed and values.get(self.columns.status) == work.status:
            values.pop(self.columns.status, None)
        properties = written(work.types or await self._types(work), values)
        if self.columns.status in values and self.columns.status not in properties:
            raise Refused("no_status_column", f"the page has no status or select named {self.columns.status}")
        await paced(self.notebook, partial(self._update, work, properties))
        status = values.get(self.columns.status)
        return None if status is None else str(status)

    async def _update(self, work: Work, properties: Mapping[str, Any]) -> None:
        # Right before it is sent: whoever else has the page by now knows something newer.
        if not await self.notebook.renewed(work, with_status=self.columns.status in properties):
            raise LeaseLost
        await self.notion.update(work.page_id, properties)

    async def _types(self, work: Work) -> Types:
        types = types_of(await self._page(work))
        await self.notebook.learned(work, types)
        return types

    async def _is_overwritten(self, work: Work, values: Mapping[str, Value]) -> bool:
        """Whether a write that came late has put an older answer of ours over the newer one."""
        status = text_of(await self._page(work), self.columns.status)
        return status in self.statuses.answers and status != values.get(self.columns.status, status)

    async def _page(self, work: Work) -> dict[str, Any]:
        return await paced(self.notebook, partial(self.notion.page, work.page_id))

    async def _refused(self, work: Work, error: Refused) -> None:
        if error.code != work.refusal:
            log.warning("notion_refuses_page", page_id=work.page_id, reason=str(error))
        if await self.notebook.refused(work, error.code, pause(work.failures), patience=self.give_up_seconds):
            GIVEN_UP.labels(error.code).inc()
            log.error("page_given_up", page_id=work.page_id, code=error.code)
