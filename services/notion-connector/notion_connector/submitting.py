"""Turns a page that asks into a manifest: read, written down, submitted, noted.

What is sent is fixed with its idempotency key before it is sent, so that neither a crash nor another replica makes a
second job of it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from chassis.crash import point
from chassis.telemetry import get_logger
from notion_connector.columns import Columns, Statuses, text_of
from notion_connector.gateway import LABEL, Accepted, Busy, Declined, Gateway, GatewayAway
from notion_connector.metrics import SUBMISSIONS
from notion_connector.notion import Away, Notion, Refused
from notion_connector.pacing import NotNow, paced, pause
from notion_connector.store.notebook import Notebook
from notion_connector.store.requests import Fixed, Request

log = get_logger()

_FIRST_BUSY_FAILURES = 4


@dataclass(frozen=True, slots=True)
class Submitter:
    """The step of the submitting loop. `changed` is set when a page should show something else."""

    notion: Notion
    gateway: Gateway
    notebook: Notebook
    columns: Columns
    statuses: Statuses
    changed: asyncio.Event

    async def step(self) -> bool:
        """Brings one request forward; False when none was due."""
        request = await self.notebook.next_request()
        if request is None:
            return False
        fixed: Request | None = request
        if request.body is None:
            fixed = await self._fixed(request)
        if fixed is not None:
            await self._submit(fixed)
        self.changed.set()
        return True

    async def _fixed(self, request: Request) -> Request | None:
        """The request with what is to be sent written down; None when there is nothing to send, or not now."""
        try:
            page = await paced(self.notebook, partial(self.notion.page, request.page_id))
        except NotNow as error:
            await self.notebook.postponed(request, error.seconds, anew=True)
        except Away:
            await self.notebook.postponed(request, pause(request.failures), anew=True)
        except Refused as error:
            log.warning("page_not_read", page_id=request.page_id, reason=str(error))
            await self._withdraw(request, by_hand=True)
        else:
            return await self._fix(request, page)
        return None

    async def _fix(self, request: Request, page: dict[str, Any]) -> Request | None:
        status = text_of(page, self.columns.status)
        if status != self.statuses.ask or page.get("in_trash") or page.get("archived"):
            await self._withdraw(request, by_hand=status not in self.statuses.answers)
            return None
        what = self._what(request, page)
        if not await self.notebook.fix(request, what):
            return None
        return replace(request, body=what.body, idempotency_key=what.idempotency_key)

    def _what(self, request: Request, page: dict[str, Any]) -> Fixed:
        columns, revision = self.columns, str(page.get("last_edited_time", ""))
        channel, project = text_of(page, columns.channel), text_of(page, columns.project)
        # An empty cell says nothing: an empty topic would be one, and pictures of nothing in particular would be paid.
        told = {"topic": text_of(page, columns.topic), "story_direction": text_of(page, columns.story_direction)}
        body = {
            **{name: text for name, text in told.items() if text.strip()},
            "channel": channel,
            "project": project,
            "labels": {LABEL: str(request.page_id)},
        }
        # Notion's revision is a minute: who asks twice in one is told apart by our own count.
        key = f"notion-{request.page_id}-{revision}-{request.round}"
        return Fixed(revision, json.dumps(body), key, channel, project)

    async def _withdraw(self, request: Request, *, by_hand: bool) -> None:
        SUBMISSIONS.labels("withdrawn").inc()
        await self.notebook.withdrawn(request, by_hand=by_hand)

    async def _submit(self, request: Request) -> None:
        assert request.body is not None
        assert request.idempotency_key is not None
        point("notion.before_submit")
        try:
            answer = await self.gateway.submit(request.body, request.idempotency_key)
        except GatewayAway as error:
            SUBMISSIONS.labels("away").inc()
            log.warning("gateway_away", page_id=request.page_id, reason=str(error))
            await self.notebook.postponed(request, pause(request.failures), anew=False)
            return
        point("notion.after_submit")
        match answer:
            case Accepted(job_id):
                SUBMISSIONS.labels("accepted").inc()
                log.info("manifest_accepted", page_id=request.page_id, job_id=job_id)
                await self.notebook.accepted(request, job_id)
            case Busy(detail):
                SUBMISSIONS.labels("busy").inc()
                await self.notebook.busy(request, detail, pause(_FIRST_BUSY_FAILURES + request.failures))
            case Declined(detail):
                SUBMISSIONS.labels("declined").inc()
                log.info("manifest_declined", page_id=request.page_id, reason=detail)
                await self.notebook.declined(request, detail)
