"""From a request to the bytes of its pictures, over HTTP alone."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.running import Live, ended, make, make_kit, small, submit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SIZES = {
    "thumbnail": (1280, 720),
    "overlay": (1920, 1080),
    "banner": (1200, 480),
    "story_graphic": (1080, 1920),
    "clip_cover": (1080, 1080),
}
KIT = {"name": "Neon Drift", "primary_colors": ["#7C3AED", "#22D3EE"], "tone": "bold and playful"}


def picture_of(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


async def test_each_asset_type_comes_in_its_exact_size(owner: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    kit = await make_kit(owner)
    asked = [submit_asset(owner, asset_type, kit) for asset_type in SIZES]
    jobs = [await ended(owner, job["id"]) for job in await asyncio.gather(*asked)]

    assert {job["asset_type"]: job["status"] for job in jobs} == dict.fromkeys(SIZES, "completed")
    found = {job["asset_type"]: await output_of(job, stranger) for job in jobs}
    assert {name: picture.size for name, picture in found.items()} == SIZES
    assert {picture.format for picture in found.values()} == {"PNG"}
    assert all(len(picture.convert("RGB").resize((64, 64)).getcolors(4096) or []) > 100 for picture in found.values())


async def submit_asset(owner: httpx.AsyncClient, asset_type: str, kit: str) -> dict[str, Any]:
    body = {"asset_type": asset_type, "brand_kit_id": kit, "custom_prompt": "a dragon over the city"}
    answer = await owner.post("/api/v1/generate", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def output_of(job: dict[str, Any], stranger: httpx.AsyncClient) -> Image.Image:
    """The one picture of a job; what the API says of it is true."""
    [output] = job["items"][0]["outputs"]
    answer = await stranger.get(output["url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == output["mime"] == "image/png"
    assert len(answer.content) == output["file_size"]
    assert hashlib.sha256(answer.content).hexdigest() == output["sha256"]
    picture = picture_of(answer.content)
    assert picture.size == (output["width"], output["height"])
    return picture


def test_a_newcomer_makes_a_brand_kit_and_a_thumbnail_and_downloads_it(live: Live, tmp_path: Path) -> None:
    """What the README does with curl: plain requests, one after the other, nothing of ours."""
    gateway, headers = live.info.gateway, {"Authorization": f"Bearer {live.info.api_key}"}
    with httpx.Client(trust_env=False, timeout=70) as curl:
        kit = curl.post(f"{gateway}/api/v1/brand-kits", headers=headers, json=KIT)
        assert kit.status_code == 201
        assert kit.headers["location"] == f"/api/v1/brand-kits/{kit.json()['id']}"

        body = {"asset_type": "thumbnail", "brand_kit_id": kit.json()["id"], "custom_prompt": "finals night"}
        job = curl.post(f"{gateway}/api/v1/generate", headers=headers, json=body)
        assert job.status_code == 202
        address = gateway + job.headers["location"]

        while job.json()["status"] not in {"completed", "failed"}:
            job = curl.get(address, headers=headers, params={"wait": 60})
        assert job.json()["status"] == "completed", job.text

        file = tmp_path / "thumbnail.png"
        file.write_bytes(curl.get(job.json()["items"][0]["url"]).content)
    with Image.open(file) as picture:
        assert picture.size == (1280, 720)


async def test_four_pictures_of_one_job_are_four_different_ones(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small("a fox in the snow", count=4, width=256, height=256))

    assert [item["number"] for item in job["items"]] == [1, 2, 3, 4]
    outputs = [output for item in job["items"] for output in item["outputs"]]
    pictures = [picture_of((await stranger.get(output["url"])).content) for output in outputs]
    assert len({output["sha256"] for output in outputs}) == 4
    assert len({picture.convert("RGB").tobytes() for picture in pictures}) == 4
    assert job["cost"]["actual"] == "0.16"


async def test_the_same_seed_gives_the_same_picture_and_another_seed_another(owner: httpx.AsyncClient) -> None:
    jobs = [await make(owner, small("a fox", seed=seed)) for seed in (7, 7, 8)]

    first, again, other = (job["items"][0]["outputs"][0]["sha256"] for job in jobs)
    assert first == again != other


async def test_a_private_picture_is_seen_with_its_signature_alone(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small())
    [output] = job["items"][0]["outputs"]
    url = httpx.URL(output["url"])
    expires = int(url.params["exp"])

    assert output["is_public"] is False
    assert (await stranger.get(url)).status_code == 200
    refused = {
        "no signature": url.copy_with(query=None),
        "another signature": url.copy_set_param("sig", url.params["sig"][:-2] + "AA"),
        "a longer life": url.copy_set_param("exp", str(expires + 60)),
        "a signature alone": url.copy_remove_param("exp"),
    }
    answers = {name: (await stranger.get(changed)).status_code for name, changed in refused.items()}
    assert answers == {
        "no signature": 404,
        "another signature": 403,
        "a longer life": 403,
        "a signature alone": 403,
    }


async def test_the_signature_of_one_picture_opens_no_other(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small(count=2))
    one, other = (httpx.URL(item["url"]) for item in job["items"])

    assert (await stranger.get(other.copy_with(query=one.query))).status_code == 403


async def test_a_public_picture_is_seen_by_everybody_through_either_address(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small(visibility="public"))
    [output] = job["items"][0]["outputs"]

    for address in (output["url"], f"/asset/{output['asset_id']}"):
        answer = await stranger.get(address)
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == output["sha256"]


async def test_the_owner_of_a_private_picture_gets_it_from_the_gateway_with_his_key(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small())
    asset_id = job["items"][0]["asset_id"]

    found = await owner.get(f"/asset/{asset_id}")
    assert found.status_code == 302
    assert (await stranger.get(found.headers["location"])).status_code == 200
    assert (await stranger.get(f"/asset/{asset_id}")).status_code == 404


async def test_a_part_of_a_picture_and_an_unchanged_one_are_not_sent_whole(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small())
    url = job["items"][0]["url"]

    whole = await stranger.get(url)
    part = await stranger.get(url, headers={"Range": "bytes=8-15"})
    again = await stranger.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[8:16])
    assert (again.status_code, again.content) == (304, b"")


async def test_the_assets_of_a_job_are_listed(owner: httpx.AsyncClient) -> None:
    job = await make(owner, small(count=2))

    listed = (await owner.get(f"/api/v1/jobs/{job['id']}/assets")).json()
    included = (await owner.get(f"/api/v1/jobs/{job['id']}", params={"include": "assets"})).json()["assets"]
    assert [asset["id"] for asset in listed["items"]] == [item["asset_id"] for item in job["items"]]
    assert [asset["id"] for asset in included] == [asset["id"] for asset in listed["items"]]
    assert {(asset["width"], asset["height"], asset["mime"]) for asset in included} == {(64, 64, "image/png")}


async def test_a_waiting_answer_comes_when_the_job_changes(owner: httpx.AsyncClient) -> None:
    job = await submit(owner, small())
    versions = [job["version"]]
    async with asyncio.timeout(30):
        while job["status"] != "completed":
            job = (await owner.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60})).json()
            versions.append(job["version"])

    assert versions == sorted(set(versions))


async def test_nobody_waits_for_a_job_that_has_ended(owner: httpx.AsyncClient) -> None:
    job = await make(owner, small())

    async with asyncio.timeout(10):
        answer = await owner.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60})
    assert answer.json()["version"] == job["version"]
    assert "retry-after" not in answer.headers


async def test_a_job_that_is_known_already_is_not_sent_again(owner: httpx.AsyncClient) -> None:
    address = f"/api/v1/jobs/{(await submit(owner, small()))['id']}"
    early = await owner.get(address)
    await ended(owner, early.json()["id"])
    late = await owner.get(address, headers={"If-None-Match": early.headers["etag"]})
    known = await owner.get(address, headers={"If-None-Match": f'"nonsense", {late.headers["etag"]}'})

    assert late.status_code == 200
    assert late.headers["etag"] != early.headers["etag"]
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == late.headers["etag"]


async def test_jobs_are_listed_newest_first_and_by_label(owner: httpx.AsyncClient) -> None:
    jobs = [await submit(owner, small(labels={"scene": scene, "of": "listing"})) for scene in ("1", "2", "3")]
    for job in jobs:
        await ended(owner, job["id"])

    page = (await owner.get("/api/v1/jobs", params={"label.of": "listing", "limit": 2})).json()
    rest = (await owner.get("/api/v1/jobs", params={"label.of": "listing", "cursor": page["next_cursor"]})).json()
    one = (await owner.get("/api/v1/jobs", params={"label.of": "listing", "label.scene": "2"})).json()
    assert [job["id"] for job in page["items"] + rest["items"]] == [job["id"] for job in reversed(jobs)]
    assert (page["total"], rest["next_cursor"]) == (3, None)
    assert [job["id"] for job in one["items"]] == [jobs[1]["id"]]
