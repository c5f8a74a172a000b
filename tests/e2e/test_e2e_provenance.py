"""Where an asset comes from: told over HTTP, and by the file itself."""

from __future__ import annotations

import hashlib
import uuid
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.running import make, make_kit, small

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WORD = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


async def test_the_record_of_an_asset_agrees_with_its_job_and_with_the_bytes_that_are_served(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    kit = await make_kit(owner)
    job = await make(owner, small("a fox of provenance", brand_kit_id=kit, seed=11))
    [item] = job["items"]
    [output] = item["outputs"]
    served = (await stranger.get(output["url"])).content

    found = (await owner.get(f"/api/v1/assets/{output['asset_id']}/provenance")).json()

    assert (found["origin"], found["job_id"], found["item"], found["kind"]) == ("job", job["id"], 1, "image")
    assert (found["sha256"], found["file_size"]) == (hashlib.sha256(served).hexdigest(), len(served))
    assert (found["provider"], found["model"], found["seed"]) == (item["provider"], item["model"], 11)
    assert f"{found['template']}@{found['template_version']}" == item["prompt_version"]
    assert found["brand_kit"] == {"id": kit, "version": 1}
    assert len(found["prompt_sha256"]) == len(found["template_sha256"]) == len(found["content_sha256"]) == 64
    assert job["created_at"] <= found["generated_at"] <= found["stored_at"] <= job["completed_at"]
    assert found["ai_generated"] is True
    assert "a fox of provenance" not in str(found)


async def test_a_file_says_itself_that_a_machine_made_it_as_its_record_says(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    [item] = (await make(owner, small()))["items"]
    [output] = item["outputs"]
    served = (await stranger.get(output["url"])).content
    found = (await owner.get(f"/api/v1/assets/{output['asset_id']}/provenance")).json()

    assert WORD in str(Image.open(BytesIO(served)).info["xmp"])
    assert (found["digital_source_type"], found["mark"]) == (WORD, "XMP")
    assert found["c2pa"] == {"signed": False, "why_not": "signing is switched off"}
    assert found["content_sha256"] != found["sha256"]


async def test_an_asset_that_is_not_there_has_no_record_and_a_key_needs_the_scope(owner: httpx.AsyncClient) -> None:
    missing = await owner.get(f"/api/v1/assets/{uuid.uuid4()}/provenance")
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
    made = await owner.post("/api/v1/keys", json={"scopes": ["jobs:read"]})
    assert made.status_code == 201, made.text
    [output] = (await make(owner, small()))["items"][0]["outputs"]
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    refused = await owner.get(f"/api/v1/assets/{output['asset_id']}/provenance", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
