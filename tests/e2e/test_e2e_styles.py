"""Style capsules and Storyboard's dialect over the whole system: laid over a prompt, pinned, audited, shown."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.running import ended, make, small, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CAPSULE = {"name": "Rainy noir", "style": "35 mm film", "negative_prompt": "cartoon", "palette": ["#0B1320", "#C8A15A"]}
ASKED = {"projectId": "heist", "branchId": "main", "prompt": "a heavy safe", "width": 96, "height": 64}
PLACE = "project_heist/branch_main"


async def make_capsule(owner: httpx.AsyncClient) -> str:
    answer = await owner.post("/api/v1/style-capsules", json=CAPSULE)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def drawn(owner: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """A job of Storyboard's when it has ended, in Storyboard's words."""
    answer = await owner.post("/api/images/generate", json=ASKED | asked)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "queued"

    async def look() -> dict[str, Any]:
        job: dict[str, Any] = (await owner.get(answer.headers["location"])).json()
        return job if job["status"] in {"completed", "failed"} else {}

    return await until(look, "the picture", within=60)


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


async def test_a_storyboard_asset_has_its_style_its_place_and_a_public_address(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    capsule = await make_capsule(owner)

    told = await drawn(owner, jobType="master_asset", assetId="old-safe", visualStyleCapsuleId=capsule)

    assert told["status"] == "completed", told
    served = await stranger.get(told["publicUrl"])
    assert (served.status_code, opened(served.content).size) == (200, (96, 64))
    job = await ended(owner, told["jobId"])
    [item] = job["items"]
    tenant, _, path = (await owner.get(f"/api/v1/assets/{item['asset_id']}")).json()["path"].partition("/")
    assert path.startswith(f"{PLACE}/master-assets/old-safe_20"), (tenant, path)
    record = (await owner.get(f"/api/v1/assets/{item['asset_id']}/provenance")).json()
    assert record["style_capsule"] == {"id": capsule, "version": 1}
    assert told["cost"]["actual"] == job["cost"]["actual"]


async def test_what_is_made_anew_builds_on_the_picture_that_was_made(owner: httpx.AsyncClient) -> None:
    first = await drawn(owner, jobType="start_frame", sceneId="3", shotId="12")
    picture = (await ended(owner, first["jobId"]))["items"][0]["asset_id"]
    mask, file = Image.new("RGBA", (96, 64), (0, 0, 0, 255)), BytesIO()
    mask.paste((0, 0, 0, 0), (48, 0, 96, 64))
    mask.save(file, "png")
    hole = (await owner.post("/api/v1/uploads", content=file.getvalue())).json()["id"]

    told = await drawn(owner, jobType="inpaint", sceneId="3", shotId="12", image=picture, mask=hole)

    assert told["status"] == "completed", told
    before, after = [
        opened((await owner.get(one["publicUrl"], follow_redirects=True)).content) for one in (first, told)
    ]
    left, right = (0, 0, 40, 64), (56, 0, 96, 64)
    assert before.crop(left).tobytes() == after.crop(left).tobytes()
    assert before.crop(right).tobytes() != after.crop(right).tobytes()


async def test_jobs_keep_the_version_of_their_capsule_and_each_use_is_told(owner: httpx.AsyncClient) -> None:
    capsule = await make_capsule(owner)
    at = f"/api/v1/style-capsules/{capsule}"
    first = await make(owner, small(style_capsule_id=capsule, seed=5))
    assert (await owner.put(at, json=CAPSULE | {"palette": ["#22D3EE"]})).json()["version"] == 2
    second = await make(owner, small(style_capsule_id=capsule, seed=5))

    uses = (await owner.get(f"{at}/uses")).json()

    assert [(use["job_id"], use["version"]) for use in uses["items"]] == [(second["id"], 2), (first["id"], 1)]
    assert (await owner.get(f"{at}/versions/1")).json()["palette"] == CAPSULE["palette"]
    hashes = {job["items"][0]["outputs"][0]["sha256"] for job in (first, second)}
    assert len(hashes) == 2
