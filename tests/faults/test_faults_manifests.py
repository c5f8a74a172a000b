"""kill -9 of every part in turn, in the middle of a manifest: it ends by itself, and each picture was paid once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.manifests import PICTURES, PRICE, backlot, items, statuses, submit, system, tree
from tests.running import SERVICES, TERMINAL, Live, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

KILL_AT = 12


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A system that makes few pictures at once, so that a manifest has a middle."""
    with system(tmp_path_factory.mktemp("studio"), PROVIDER_WORKER_IMAGES_PER_TENANT="3") as live:
        yield live


@pytest.mark.parametrize("name", [*SERVICES, "kafka", "postgres"])
async def test_a_manifest_whose_system_is_killed_at_its_twelfth_picture_ends_whole_and_is_paid_once(
    studio: Live, tmp_path: Path, name: str
) -> None:
    async with studio.client() as client:
        job_id = (await submit(client, name, items()))["id"]
        try:
            await twelve_are_paid(studio, job_id)
            await studio.restarted(name, studio.kill(name))
            await is_whole(studio, client, job_id)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{studio.complaints()}") from error

    fetched = await backlot(studio, tmp_path, "manifest", "get", job_id)

    assert fetched.status == 0, fetched.err
    assert len(tree(tmp_path / "workspace")) == PICTURES


async def twelve_are_paid(live: Live, job_id: str) -> None:
    async def look() -> bool:
        return await live.paid(job_id) >= KILL_AT * PRICE

    await until(look, "the twelfth picture is not made", within=60, every=0.02)
    assert await live.paid(job_id) < PICTURES * PRICE, "the manifest was made before it could be disturbed"


async def is_whole(live: Live, client: httpx.AsyncClient, job_id: str) -> None:
    """Made and paid once: so say the job, the sandbox's bill, the ledger and the list of assets."""

    async def look() -> Any:
        try:
            found = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        except httpx.TransportError:
            return None
        return found if found.get("status") in TERMINAL and found["cost"]["settled"] else None

    job = await until(look, "the manifest did not end by itself", within=90)
    assert (job["status"], statuses(job)) == ("completed", {"completed": PICTURES})
    assert job["summary"]["total_cost_usd"] == "1.496"
    assert await live.paid(job_id) == await live.captured(job_id) == PICTURES * PRICE
    attempts = await live.rows("provider-worker", "SELECT attempt_id FROM attempts WHERE job_id = $1::uuid", job_id)
    paid = Counter(live.paid_references())
    assert [paid[str(attempt["attempt_id"])] for attempt in attempts] == [1] * PICTURES
    assets = await live.rows("storage-service", "SELECT path FROM assets WHERE job_id = $1::uuid", job_id)
    assert sorted(row["path"].partition("/")[2] for row in assets) == sorted(i["path"] for i in job["items"])
    await live.books_agree()
