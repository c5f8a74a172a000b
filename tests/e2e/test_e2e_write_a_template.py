"""docs/how-to/write-a-template.md, as somebody follows it: every command is run against the running system."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.architecture.source import ROOT
from tests.running import Live, ended

PAGE = ROOT / "docs" / "how-to" / "write-a-template.md"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def answers_of(output: str) -> list[dict[str, Any]]:
    """The JSON objects that the page's commands print, one behind the other."""
    decoder, found, rest = json.JSONDecoder(), [], output.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        found.append(answer)
        rest = rest[end:].lstrip()
    return found


async def test_who_types_what_the_page_says_has_a_template_in_two_versions_and_a_picture_by_it(
    live: Live, owner: httpx.AsyncClient, tmp_path: Path
) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"URL": live.info.gateway, "KEY": live.info.api_key, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    made, preview, job, second, difference, listed = answers_of(done.stdout)
    assert (made["name"], made["version"], made["origin"]) == ("poster", "v1.0", "own")
    assert preview["prompt"] == (
        "A film poster of «a lighthouse keeper», 1 people, by night. Title colour #F97316. Tone: true to the subject."
        " strong silhouette, no small print"
    )
    assert second["version"] == "v1.1"
    assert "+  - painted in oil" in difference["text"].splitlines()
    item = (await ended(owner, job["id"]))["items"][0]
    assert (item["status"], item["prompt_version"]) == ("completed", "poster@v1.0")
    record = (await owner.get(f"/api/v1/assets/{item['asset_id']}/provenance")).json()
    assert (record["template"], record["template_sha256"]) == ("poster", made["sha256"])
    assert [one["version"] for one in listed["items"]] == ["v1.0"]

    fields = ("name", "kind", "base_prompt", "quality_modifiers", "placeholders")
    refused = await owner.put("/api/v1/templates/poster/v1.0", json={field: second[field] for field in fields})
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    retired = await owner.post("/api/v1/templates/poster/v1.0/retire")
    assert (retired.status_code, retired.json()["retired"]) == (200, True)


async def test_a_job_with_a_wrong_value_fails_at_prompting_and_costs_nothing(owner: httpx.AsyncClient) -> None:
    template = {
        "name": "stars",
        "kind": "image",
        "base_prompt": "A sky with {stars} stars.",
        "quality_modifiers": [],
        "placeholders": {"stars": {"source": "variable", "type": "integer", "max": 9, "required": True}},
    }
    assert (await owner.post("/api/v1/templates", json=template)).status_code == 201
    body = {"kind": "image", "template": "stars", "variables": {"stars": "many"}}
    accepted = await owner.post("/api/v1/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    job = await ended(owner, accepted.json()["id"])
    assert (job["status"], job["cost"]["reserved"], job["cost"]["actual"]) == ("failed", "0.00", "0.00")
    assert (job["error"]["code"], job["error"]["stage"]) == ("INVALID_REQUEST", "prompting")
    assert "the variable stars: it has to be a whole number of at most 9" in job["error"]["message"]
