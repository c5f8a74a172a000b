"""A result that was paid for and could not be downloaded comes by `backlot redownload`, the whole way."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.faults.providers_under_fire import Simulator, system
from tests.running import Live, ended, submit, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PROVIDER = "replicate"


async def backlot(live: Live, *arguments: str) -> tuple[int, str]:
    """The command line; its exit status, and all it printed."""
    child = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "backlot"),
        *arguments,
        env={**os.environ, "BACKLOT_HOME": str(live.home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await child.communicate()
    return child.returncode or 0, told.decode()


async def paid_and_lost(client: httpx.AsyncClient, prompt: str) -> dict[str, Any]:
    """A job whose picture was made and billed, and could not be fetched, however often."""
    body = {
        "kind": "image",
        "prompt": prompt,
        "width": 256,
        "height": 256,
        "route": {"providers": [PROVIDER], "fallback": False},
    }
    job = await ended(client, (await submit(client, body))["id"])
    assert (job["status"], job["items"][0]["asset_id"]) == ("failed", None)

    async def billed() -> Any:
        found = (await client.get(f"/api/v1/jobs/{job['id']}")).json()
        return found if found["cost"]["settled"] else None

    settled: dict[str, Any] = await until(billed, "the bill stays open")
    assert float(settled["cost"]["actual"]) > 0
    return settled


async def test_what_was_paid_for_is_fetched_without_paying_again(tmp_path: Path) -> None:
    async with system(tmp_path) as live, live.client() as client:
        assert live.info.simulator is not None
        simulator = Simulator(live.info.simulator)
        await simulator.prepare()
        await simulator.post("faults", provider=PROVIDER, fault="http503@file", probability=1, seed=1)
        lost = await paid_and_lost(client, "a fox")
        await simulator.go_right()
        gone = await paid_and_lost(client, "a hare [[sim:expired_url]]")
        bill, books = (await simulator.get("bill"))["lines"], await live.captured(lost["id"], gone["id"])

        status, told = await backlot(live, "redownload", lost["id"], "-o", str(tmp_path / "files"))

        assert status == 0, told
        [file] = (tmp_path / "files").iterdir()
        assert Image.open(file).size == (256, 256)
        job = (await client.get(f"/api/v1/jobs/{lost['id']}")).json()
        assert (job["status"], job["cost"]) == ("failed", lost["cost"])
        assert job["items"][0]["redownload"] == {"state": "fetched", "message": None}
        assert job["items"][0]["asset_id"] is not None

        status, told = await backlot(live, "redownload", gone["id"], "-o", str(tmp_path / "none"))

        assert status == 1
        assert "item 1: the paid result could not be had again" in told
        assert (await simulator.get("bill"))["lines"] == bill
        assert await live.captured(lost["id"], gone["id"]) == books
        status, told = await backlot(live, "redownload", lost["id"])
        assert (status, "every item has its asset" in told) == (1, True)
