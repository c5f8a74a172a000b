"""Webhooks of a running system: a receiver outside hears how manifests end, and docs/how-to/receive-webhooks.md."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.detached import stop as stop_system
from stack.ports import free_ports
from stack.state import running
from tests import kafka_client
from tests.architecture.source import ROOT
from tests.gateway_receiver import Receiver, receiving
from tests.manifests import PRICE, items, submit, system
from tests.running import Live, ended, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PAGE = ROOT / "docs" / "how-to" / "receive-webhooks.md"
PORT_OF_THE_PAGE = "9200"


@pytest.fixture(scope="module")
def port() -> int:
    [found] = free_ports(1)
    return found


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Live]:
    """A system that trusts one receiver on this machine."""
    folder = tmp_path_factory.mktemp("webhooks")
    with system(folder, API_GATEWAY_WEBHOOK_ORIGINS=f"http://127.0.0.1:{port}") as live:
        yield live


@pytest.fixture
async def client(studio: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with studio.client() as connected:
        yield connected


@pytest.fixture
async def receiver(port: int) -> AsyncIterator[Receiver]:
    async with receiving(port=port) as listening:
        yield listening


async def register(client: httpx.AsyncClient, url: str, *events: str) -> dict[str, Any]:
    answer = await client.post("/api/v1/webhooks", json={"url": url, "events": list(events)})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def deliveries(client: httpx.AsyncClient, hook: dict[str, Any], state: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/webhooks/{hook['id']}/deliveries", params={"state": state})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_the_end_of_a_manifest_is_told_once_with_its_next_step_and_then_its_final_cost(
    studio: Live, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    hook = await register(client, receiver.url("/studio"), "job.partial", "job.completed", "job.settled")
    job = await submit(client, "told", items(count=3, failing=[2]), next_step="generate_videos")
    await ended(client, job["id"])

    async def both() -> bool:
        return len(await deliveries(client, hook, "delivered")) == 2

    await until(both, "the webhook was not told")
    told = {one.told["type"]: one.verified(hook["secret"]) for one in receiver.got}
    assert sorted(told) == sorted(receiver.names()) == ["job.partial", "job.settled"]
    end = told["job.partial"]["data"]
    assert (end["job_id"], end["manifest"]["next_step"]) == (job["id"], "generate_videos")
    assert (end["manifest"]["generated"], end["manifest"]["failed"]) == (2, 1)
    assert [asset["item"] for asset in end["assets"]] == [1, 3]
    final = told["job.settled"]["data"]["cost_micros"]
    assert final == await studio.captured(job["id"]) == await studio.paid(job["id"]) == 2 * PRICE

    await studio.all_told()
    records = await asyncio.to_thread(kafka_client.read, studio.info.kafka, ["backlot.job-results"])
    mine = {record.texts["ce_type"].split(".")[-2]: record for record in records if record.key == job["id"].encode()}
    assert {name: json.loads(record.value or b"") for name, record in mine.items() if name != "accepted"} == {
        name.removeprefix("job."): body["data"] for name, body in told.items()
    }
    assert (await client.delete(f"/api/v1/webhooks/{hook['id']}")).status_code == 204


async def test_what_a_killed_gateway_had_on_its_way_is_sent_again_with_the_same_id(
    studio: Live, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    receiver.held = {"/held"}
    hook = await register(client, receiver.url("/held"), "job.completed")
    job = await submit(client, "killed", items(count=1))
    await ended(client, job["id"])
    await until(lambda: has_come(receiver, 1), "the webhook was not told")

    killed = studio.kill("api-gateway")
    await studio.restarted("api-gateway", killed)
    receiver.release.set()
    await studio.rows("api-gateway", "UPDATE webhook_delivery SET due_at = now() WHERE state = 'pending'")

    async def delivered() -> list[dict[str, Any]]:
        try:
            return await deliveries(client, hook, "delivered")
        except httpx.TransportError:
            return []

    [found] = await until(delivered, "the webhook was not told again", within=60)
    assert receiver.ids() == [found["id"]] * 2
    assert found["attempts"] == 2
    assert receiver.got[0].body == receiver.got[1].body
    receiver.got[1].verified(hook["secret"])


async def has_come(receiver: Receiver, count: int) -> bool:
    return len(receiver.got) >= count


def test_who_types_what_the_page_says_hears_of_his_picture(tmp_path: Path) -> None:
    [own] = free_ports(1)
    text = PAGE.read_text(encoding="utf-8").replace(PORT_OF_THE_PAGE, str(own))
    [receiver] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "receiver.py").write_text(receiver, encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    status, out = type_in(tmp_path, "\n".join(blocks))
    assert status == 0, out
    heard = [line.split() for line in (tmp_path / "heard.txt").read_text(encoding="utf-8").splitlines()]
    assert sorted(words[0] for words in heard) == ["job.completed", "job.settled"]
    assert len({words[1] for words in heard}) == 1
    assert re.search(r"^[0-9a-f-]{36} is pending$", out, re.MULTILINE)
    assert len(list((tmp_path / "pictures").iterdir())) == 1


def type_in(folder: Path, script: str) -> tuple[int, str]:
    """How the commands ended and what they said; nothing of theirs runs on."""
    typed = subprocess.Popen(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=environment_of_a_newcomer(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = typed.communicate(timeout=200)
        return typed.returncode, out
    finally:
        with suppress(ProcessLookupError):
            os.killpg(typed.pid, signal.SIGKILL)
        if running(folder / "home") is not None:
            stop_system(folder / "home")


def environment_of_a_newcomer(folder: Path) -> dict[str, str]:
    """Our programs, free ports, the sandbox alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKLOT_", "PROVIDER_WORKER_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {"PROVIDER_WORKER_PROVIDERS": "sandbox", "BACKLOT_PORT": "0", "BACKLOT_HOME": str(folder / "home")}
    return {**kept, **ours, "PATH": path}
