"""A page of a Notion database becomes pictures through the real system, and says so."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from stack.ports import free_ports
from tests.notion_stub import TOKEN, NotionStub, Page, notion_stub
from tests.running import Live, ended, until

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def connector(live: Live, notion: NotionStub, database_url: str, log: Path) -> AsyncIterator[None]:
    """The connector beside the running system, told what is public and nothing else."""
    environment = {
        "PATH": os.environ["PATH"],
        "NOTION_TOKEN": TOKEN,
        "NOTION_DATABASE_ID": notion.database_id,
        "NOTION_CONNECTOR_NOTION_URL": notion.url,
        "NOTION_CONNECTOR_GATEWAY_URL": live.info.gateway,
        "NOTION_CONNECTOR_API_KEY": live.info.api_key,
        "NOTION_CONNECTOR_DATABASE_URL": database_url,
        "NOTION_CONNECTOR_INTERNAL_PORT": str(free_ports(1)[0]),
        "NOTION_CONNECTOR_POLL_SECONDS": "1",
        "KAFKA_BOOTSTRAP_SERVERS": live.info.kafka,
    }
    with log.open("wb") as output:
        command = (sys.executable, "-m", "notion_connector")
        process = await create_subprocess_exec(*command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 30)
    assert code == 0, f"see {log}"


async def shows(page: Page, status: str, *, within: float = 60) -> None:
    async def look() -> bool:
        return page.status == status

    await until(look, f"the page does not show {status}", within=within)


async def test_a_page_gets_its_22_pictures_and_a_second_request_pays_for_none(
    live: Live, owner: httpx.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    project = f"notion-{uuid4().hex[:8]}"
    async with notion_stub() as notion, connector(live, notion, database_url, tmp_path / "log"):
        page = notion.add(Channel="films", Project=project)
        await shows(page, "Assets Ready", within=120)
        job = await ended(owner, page.values["Job ID"])
        assert job["manifest"]["project"] == project
        assert page.statuses == ["Generating Assets", "Assets Ready"]
        assert (page.values["Assets Generated"], page.values["Assets Failed"]) == (22, 0)

        async def cost_is_final() -> bool:
            return bool(page.values["Total Cost"] == float(job["cost"]["actual"]) > 0)

        await until(cost_is_final, "the page does not show the final cost")
        notion.set(page, "Generate Assets")
        await shows(page, "Assets Ready", within=60)
        # At Notion's pace the newest state alone is written: with nothing to make the job may have ended before its
        # beginning could be told.
        told = page.statuses[2:]
        assert told in (["Assets Ready"], ["Generating Assets", "Assets Ready"]), told
        assert page.values["Job ID"] != job["id"], "the request became a job of its own"
        assert (page.values["Assets Generated"], page.values["Assets Skipped"]) == (0, 22)
        assert page.values["Total Cost"] == 0


async def test_a_page_without_a_usable_channel_or_without_a_word_is_told_in_the_gateways_words(
    live: Live, database_url: str, tmp_path: Path
) -> None:
    async with notion_stub() as notion, connector(live, notion, database_url, tmp_path / "log"):
        page = notion.add(Channel="../etc")
        blank = notion.add(Topic="", Story_Direction="")
        await shows(page, "Asset Error")
        await shows(blank, "Asset Error")
    assert page.values["Error Log"].startswith("VALIDATION")
    assert "channel" in page.values["Error Log"]
    assert "neither a topic nor a story_direction" in blank.values["Error Log"]
