"""Whose job is it? A label holds what anybody wrote into it; the gateway, asked with our own key, knows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from chassis.telemetry import get_logger
from notion_connector.gateway import Gateway, GatewayAway
from notion_connector.store.notebook import Notebook

log = get_logger()

AGAIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Recogniser:
    """The step of the recognising loop, for jobs that we did not submit, or do not know yet that we did."""

    gateway: Gateway
    notebook: Notebook
    changed: asyncio.Event

    async def step(self) -> bool:
        """Asks after one job; False when there is none, or nobody answers."""
        job_id = await self.notebook.next_unknown_job(lease_seconds=AGAIN_SECONDS)
        if job_id is None:
            return False
        try:
            ours = await self.gateway.knows(job_id)
        except GatewayAway as error:
            log.warning("job_not_recognised", job_id=job_id, reason=str(error), retry_in=AGAIN_SECONDS)
            return False
        if ours:
            await self.notebook.recognised(job_id)
            self.changed.set()
        else:
            log.info("label_of_a_stranger", job_id=job_id)
            await self.notebook.forgotten(job_id)
        return True
