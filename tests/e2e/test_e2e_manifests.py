"""Manifests in a running system: 22 pictures of a project, made, resumed and paid as one job (R83-R97, R117)."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests import kafka_client
from tests.manifests import PATH, PICTURES, PRICE, backlot, items, make, statuses, submit, system, tree
from tests.running import Live, ended

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LATENCY_S = 3.0
SCRIPT = """
import argparse, pathlib, sys, time
from PIL import Image
parser = argparse.ArgumentParser()
parser.add_argument("--prompt", required=True)
parser.add_argument("--output", required=True)
given = parser.parse_args()
if "thing 3" in given.prompt:
    sys.exit("cannot paint that")
while "wet paint" in given.prompt and not pathlib.Path(__file__).with_name("dry").exists():
    time.sleep(0.05)
Image.new("RGB", (96, 64), (len(given.prompt) % 256, 90, 160)).save(given.output)
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A system with the flat rate, whose provider takes its time for each picture and has room for two manifests."""
    folder = tmp_path_factory.mktemp("studio")
    script = folder / "generate_asset.py"
    script.write_text(SCRIPT, encoding="utf-8")
    room = {
        "PROVIDER_WORKER_IMAGES_PER_TENANT": str(2 * PICTURES),
        "PROVIDER_WORKER_SANDBOX_LATENCY_SECONDS": str(LATENCY_S),
    }
    with system(folder, script=script, **room) as live:
        yield live


@pytest.fixture
async def client(studio: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with studio.client() as connected:
        yield connected
    assert await studio.value("cost-ledger", "SELECT coalesce(sum(reserved_micros), 0)::bigint FROM budget") == 0


async def test_a_topic_and_a_story_become_the_tree_of_a_documentary_for_22_times_the_flat_rate(
    studio: Live, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    asked = ("--channel", "deep-sea", "--project", "whales", "--topic", "the song of the whales under the ice")
    story = ("--story-direction", "a young whale looks for its mother", "--size", "64x64", "--out", "workspace/")
    command = ("manifest", "run", *asked, *story, "--provider", "sandbox", "--json")

    first = await backlot(studio, tmp_path, *command)

    assert first.status == 0, first.err
    told = first.told
    assert (told["status"], told["total_cost_usd"]) == ("completed", "1.496")
    assert (told["generated"], told["skipped"], told["failed"]) == (PICTURES, 0, 0)
    files = tree(tmp_path / "workspace")
    assert sorted(told["files"]) == [f"workspace/{file}" for file in files]
    paths = [PATH.fullmatch(file) for file in files]
    assert {path and path.group(1, 2) for path in paths} == {("deep-sea", "whales")}
    groups = Counter(path[3] for path in paths if path)
    assert groups.total() == PICTURES
    assert (groups["characters"] in range(6, 9), groups["environments"] in range(8, 11)) == (True, True)
    assert groups["props"] in range(4, 7)
    for file in files:
        with Image.open(tmp_path / "workspace" / file) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert await studio.paid(told["id"]) == await studio.captured(told["id"]) == PICTURES * PRICE == 1_496_000

    again = await backlot(studio, tmp_path, *command)

    assert (again.status, again.told["status"], again.told["total_cost_usd"]) == (0, "completed", "0.00"), again.err
    assert (again.told["generated"], again.told["skipped"], again.told["kept"]) == (0, PICTURES, PICTURES)
    assert first.told["settled"] is again.told["settled"] is True
    assert await studio.paid(again.told["id"]) == await studio.captured(again.told["id"]) == 0
    assert tree(tmp_path / "workspace") == files
    assert await results_of(studio, told["id"]) == (1_496_000, PICTURES, 0, 0)
    assert await results_of(studio, again.told["id"]) == (0, 0, PICTURES, 0)


async def results_of(live: Live, job_id: str) -> tuple[int, int, int, int]:
    """Cost and counts that the public topic says of a manifest: what it cost stands fast when all bills are there."""
    await live.all_told()
    records = await asyncio.to_thread(kafka_client.read, live.info.kafka, ["backlot.job-results"])
    mine = {record.texts["ce_type"].split(".")[-2]: record for record in records if record.key == job_id.encode()}
    assert set(mine) == {"accepted", "completed", "settled"}
    result, settled = (json.loads(mine[name].value or b"") for name in ("completed", "settled"))
    counts = result["manifest"]
    return settled["cost_micros"], counts["generated"], counts["skipped"], counts["failed"]


async def test_where_twelve_came_out_and_ten_went_wrong_a_second_run_pays_for_ten(
    studio: Live, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    failing = range(13, PICTURES + 1)
    command = ("manifest", "run", "--channel", "films", "--project", "half", "--provider", "sandbox", "--json")
    (tmp_path / "broken.json").write_text(json.dumps(items(failing=failing)))
    (tmp_path / "whole.json").write_text(json.dumps({"items": items()}))

    first = await backlot(studio, tmp_path, *command, "--items", "broken.json")

    assert (first.status, first.told["status"], first.told["total_cost_usd"]) == (1, "partial", "0.816"), first.err
    assert (first.told["generated"], first.told["failed"]) == (12, 10)
    assert [failure["number"] for failure in first.told["failures"]] == list(failing)
    assert first.err.count("PROVIDER_ERROR: the generation failed") == len(failing)
    assert len(tree(tmp_path / "workspace")) == 12

    second = await backlot(studio, tmp_path, *command, "--items", "whole.json")

    assert (second.status, second.told["status"], second.told["total_cost_usd"]) == (0, "completed", "0.68"), second.err
    assert (second.told["generated"], second.told["skipped"], second.told["kept"]) == (10, 12, 12)
    assert await studio.paid(second.told["id"]) == await studio.captured(second.told["id"]) == 10 * PRICE
    assert len(tree(tmp_path / "workspace")) == PICTURES


async def test_the_same_manifest_made_anew_leaves_the_same_files_in_a_second_version_and_both_bills(
    studio: Live, client: httpx.AsyncClient
) -> None:
    jobs = [await make(client, "anew", items(), resume=False) for _ in range(2)]

    assert [job["status"] for job in jobs] == ["completed"] * 2
    names = await studio.rows("storage-service", "SELECT path, version FROM aliases WHERE path LIKE '%/anew/%'")
    assert Counter(row["version"] for row in names if PATH.search(row["path"])) == {2: PICTURES}
    assert [job["summary"]["total_cost_usd"] for job in jobs] == ["1.496"] * 2
    for job in jobs:
        assert await studio.paid(job["id"]) == await studio.captured(job["id"]) == PICTURES * PRICE
    before, now = ([item["path"] for item in job["items"]] for job in jobs)
    assert before == now == [row["path"].partition("/")[2] for row in sorted_like(names, now)]
    assert await versions(client, jobs[0]) == [1] * PICTURES
    assert await versions(client, jobs[1]) == [2] * PICTURES


def sorted_like(rows: list[Any], paths: list[str]) -> list[Any]:
    return sorted(
        (row for row in rows if PATH.search(row["path"])), key=lambda row: paths.index(row["path"].partition("/")[2])
    )


async def versions(client: httpx.AsyncClient, job: dict[str, Any]) -> list[int]:
    answers = [await client.get(f"/api/v1/assets/{item['asset_id']}") for item in job["items"]]
    return [answer.json()["version"] for answer in answers]


async def test_manifests_of_two_channels_are_made_in_the_time_of_one(client: httpx.AsyncClient) -> None:
    async def seconds(*channels: str) -> float:
        began = time.monotonic()
        made = await asyncio.gather(*(make(client, "race", items(count=8), channel=channel) for channel in channels))
        assert [job["status"] for job in made] == ["completed"] * len(channels)
        return time.monotonic() - began

    one = await seconds("alone")
    both = await seconds("left", "right")

    assert one > LATENCY_S
    # One after the other, or where they take each other's places, a second picture waits for the first.
    assert both < one + 0.7 * LATENCY_S, f"two took {both:.1f} s, one {one:.1f} s"


async def test_a_project_is_made_by_one_manifest_at_a_time_and_the_command_says_by_which(
    studio: Live, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    running = await submit(client, "busy", items(count=2), atmosphere="wet paint", route={"providers": ["script"]})

    refused = await backlot(
        studio, tmp_path, *("manifest", "run", "--channel", "films", "--project", "busy", "--topic", "fog")
    )

    assert (refused.status, refused.out) == (1, "")
    assert f"backlot manifest get {running['id']} --out workspace" in refused.err
    (studio.home.parent / "dry").touch()
    followed = await backlot(studio, tmp_path, "manifest", "get", running["id"])
    assert (followed.status, len(tree(tmp_path / "workspace"))) == (0, 2), followed.err
    listed = await backlot(studio, tmp_path, "manifest", "list", "--limit", "1")
    assert running["id"] in listed.out
    shown = await backlot(studio, tmp_path, "manifest", "show", running["id"])
    assert "films/busy, completed, 100 %, 0.136 USD" in shown.out


async def test_a_manifest_whose_prompts_are_all_blank_fails_and_one_with_some_is_partial(
    studio: Live, client: httpx.AsyncClient
) -> None:
    blank = await make(client, "blank", items(count=3, blank=(1, 2, 3)))
    some = await make(client, "some", items(count=3, blank=(2,)))

    assert (blank["status"], statuses(blank), blank["summary"]["total_cost_usd"]) == ("failed", {"failed": 3}, "0.00")
    assert (some["status"], statuses(some)) == ("partial", {"completed": 2, "failed": 1})
    assert some["summary"] == {"generated": 2, "skipped": 0, "failed": 1, "total_cost_usd": "0.136"}
    assert any("without a prompt" in warning for warning in some["warnings"])
    assert await studio.paid(blank["id"]) == 0


async def test_without_a_topic_the_pictures_are_generic_and_the_command_warns(
    studio: Live, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    asked = ("manifest", "run", "--channel", "films", "--project", "empty", "--topic", "", "--size", "64x64")

    done = await backlot(studio, tmp_path, *asked, "--provider", "sandbox")

    assert done.status == 0, done.err
    assert done.out.splitlines()[:4] == ["generated: 22", "skipped: 0", "failed: 0", "total_cost_usd: 1.496"]
    assert [line for line in done.err.splitlines() if line.startswith("warning: ")] != []


async def test_a_plain_script_makes_a_manifest_and_what_it_refuses_is_told(
    studio: Live, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "items.json").write_text(json.dumps(items(count=6)))
    asked = ("manifest", "run", "--channel", "films", "--project", "script", "--items", "items.json", "--json")

    done = await backlot(studio, tmp_path, *asked, "--provider", "script")

    assert (done.status, done.told["status"]) == (1, "partial"), done.err
    assert (done.told["generated"], done.told["failed"], done.told["total_cost_usd"]) == (5, 1, "0.34")
    [failure] = done.told["failures"]
    assert (failure["number"], failure["error"]["code"]) == (3, "PROVIDER_ERROR")
    assert "generate_asset.py ended with exit code 1: cannot paint that" in done.err
    for file in tree(tmp_path / "workspace"):
        assert Image.open(tmp_path / "workspace" / file).size == (64, 64)
    job = await ended(client, done.told["id"])
    assert {item["provider"] for item in job["items"]} == {"script"}
    assert await studio.captured(job["id"]) == 5 * PRICE
