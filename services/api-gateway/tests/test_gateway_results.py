"""What the outside is told of a manifest, and what its page shows of pictures that were there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from api_gateway.http.job_shapes import Job
from chassis.ids import uuid7
from schemas.assets import AssetDeleted, AssetVisibilityChanged
from schemas.event import Event
from schemas.events import (
    GenerationFailed,
    JobAccepted,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobPartial,
    JobSettled,
    PromptsRejected,
)
from schemas.parts import Billing, ErrorCode, Stage
from schemas.results import JobOutcome, ManifestResult
from tests.gateway_harness import ASSETS, Gateway, gateway_on, someone
from tests.gateway_manifests import CHANNEL, FOLDER, PROJECT, made, make_manifest, manifest_prepared, skipped
from tests.gateway_stories import recorded, stored

pytestmark = pytest.mark.integration

RESULTS = "backlot.job-results"


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def heard_manifest(gateway: Gateway, *told: Event, blank: tuple[int, ...] = ()) -> UUID:
    """A manifest of three pictures of which `told` was heard; what is told of no job is told of it."""
    job_id = await make_manifest(gateway)
    of_it = [one.model_copy(update={"job_id": job_id}) for one in told]
    await gateway.hear_all([manifest_prepared(job_id, blank=blank), *of_it])
    return job_id


def result(**counts: int) -> ManifestResult:
    return ManifestResult(
        channel=CHANNEL,
        project=PROJECT,
        generated=counts.get("generated", 0),
        skipped=counts.get("skipped", 0),
        failed=counts.get("failed", 0),
        total_cost_micros=counts.get("cost", 0),
        next_step="generate_videos",
    )


def summary(**shown: Any) -> dict[str, Any]:
    return {"generated": 0, "skipped": 0, "failed": 0, "total_cost_usd": "0.00", **shown}


ANY = UUID(int=1)


def unmade(item: int) -> GenerationFailed:
    return GenerationFailed(
        job_id=ANY,
        item=item,
        attempt=0,
        code=ErrorCode.CONTENT_POLICY,
        message="no",
        stage=Stage.GENERATING,
        final=True,
        billing=Billing(state="none"),
    )


async def test_a_whole_manifest_is_told_with_its_pictures_its_cost_and_what_comes_next(gateway: Gateway) -> None:
    job_id = await make_manifest(gateway, labels={"notion_page_id": "1f0c"})
    pictures = [uuid7() for _ in range(3)]
    await gateway.hear(manifest_prepared(job_id))
    for number, asset_id in enumerate(pictures, 1):
        await gateway.hear_all(made(job_id, number, asset_id=asset_id))

    accepted, ended, settled = await gateway.said(RESULTS)

    assert accepted == JobAccepted(job_id=job_id, labels={"notion_page_id": "1f0c"})
    assert isinstance(ended, JobCompleted)
    assert ended.labels == {"notion_page_id": "1f0c"}
    assert [(asset.item, asset.asset_id) for asset in ended.assets] == list(enumerate(pictures, 1))
    assert ended.manifest is not None
    assert (ended.manifest.generated, ended.manifest.next_step) == (3, "generate_videos")
    assert settled == JobSettled(job_id=job_id, cost_micros=117_000, currency="USD")
    job = await gateway.job(job_id)
    Job.model_validate(job)
    assert job["summary"] == summary(generated=3, total_cost_usd="0.117")
    first = job["items"][0]
    assert (first["group"], first["name"], first["path"]) == ("characters", "whale_1", f"{FOLDER}/whale_1.png")


async def test_no_prompt_goes_outside(gateway: Gateway) -> None:
    job_id = await make_manifest(gateway, topic="TOPIC", story_direction="DIRECTION", atmosphere="ATMOSPHERE")
    told = [picture for number in (1, 2, 3) for picture in made(job_id, number)]
    await gateway.hear_all([manifest_prepared(job_id), *told])

    values = (await gateway.run("SELECT value FROM outbox WHERE topic = :topic", topic=RESULTS)).scalars().all()

    assert len(values) == 3
    for secret in (b"an old whale", b"a fox", b"TOPIC", b"DIRECTION", b"ATMOSPHERE"):
        assert all(secret not in value for value in values)


async def test_the_end_is_told_in_the_transaction_that_seals_the_job(gateway: Gateway) -> None:
    await heard_manifest(gateway, blank=(1, 2, 3))

    written = await gateway.run(
        "SELECT DISTINCT xmin::text FROM job UNION SELECT xmin::text FROM outbox WHERE value LIKE '%whales%' "
        "AND topic = 'backlot.job-results'"
    )
    assert len(written.all()) == 1


ENDS: list[tuple[list[Event], tuple[int, ...], type[JobOutcome], dict[str, int]]] = [
    ([], (1, 2, 3), JobFailed, {"failed": 3}),
    ([skipped(ANY, number, uuid7()) for number in (1, 2, 3)], (), JobCompleted, {"skipped": 3}),
    ([skipped(ANY, number, uuid7()) for number in (1, 2)], (3,), JobPartial, {"skipped": 2, "failed": 1}),
    ([*made(ANY, 1), skipped(ANY, 2, uuid7())], (3,), JobPartial, {"generated": 1, "skipped": 1, "failed": 1}),
    ([*made(ANY, 1), unmade(2)], (3,), JobPartial, {"generated": 1, "failed": 2}),
    ([unmade(1), unmade(2)], (3,), JobFailed, {"failed": 3}),
    ([*made(ANY, 1), *made(ANY, 2), unmade(3)], (), JobPartial, {"generated": 2, "failed": 1}),
]


async def test_blank_and_present_pictures_count_in_the_end(gateway: Gateway) -> None:
    for told, blank, ending, counts in ENDS:
        before = len(await gateway.said(RESULTS))
        assets = [one.model_copy(update={"asset_id": uuid7()}) if hasattr(one, "asset_id") else one for one in told]
        job_id = await heard_manifest(gateway, *assets, blank=blank)

        said = (await gateway.said(RESULTS))[before:]

        ended = said[1]
        assert [type(one) for one in said] == [JobAccepted, ending, JobSettled], (counts, said)
        assert isinstance(ended, JobOutcome)
        paid = 39_000 * counts.get("generated", 0)
        assert ended.manifest == result(**counts, cost=paid)
        job = await gateway.job(job_id)
        assert job["status"] == ended.status
        cost = {0: "0.00", 39_000: "0.039", 78_000: "0.078"}[paid]
        assert job["summary"] == summary(**counts, total_cost_usd=cost)
        assert [item["number"] for item in job["items"] if "blank" in (item["error"] or {}).get("message", "")] == [
            *blank
        ]


async def test_what_was_captured_so_far_is_the_cost_until_the_bill_is_final(gateway: Gateway) -> None:
    pictures = [made(ANY, number) for number in (1, 2)]
    job_id = await heard_manifest(gateway, *[one for told in pictures for one in told[:-1]], blank=(3,))
    open_bill = await gateway.job(job_id)
    await gateway.hear(recorded(job_id, 1))
    half = await gateway.job(job_id)
    await gateway.hear(recorded(job_id, 2))
    whole = await gateway.job(job_id)

    shown = [(job["summary"]["total_cost_usd"], job["cost"]["settled"]) for job in (open_bill, half, whole)]
    assert shown == [("0.00", False), ("0.039", False), ("0.078", True)]
    assert {job["status"] for job in (open_bill, half, whole)} == {"partial"}
    _, ended, settled = await gateway.said(RESULTS)
    assert isinstance(ended, JobPartial)
    assert ended.manifest is not None
    assert (ended.manifest.total_cost_micros, ended.settled) == (0, False)
    assert settled == JobSettled(job_id=job_id, cost_micros=78_000, currency="USD")


async def test_a_manifest_that_was_stopped_or_rejected_is_told_too(gateway: Gateway) -> None:
    stopped = await make_manifest(gateway)
    await gateway.client.post(f"/api/v1/jobs/{stopped}/cancel")
    await gateway.hear(PromptsRejected(job_id=stopped, code=ErrorCode.CANCELLED, message="cancelled"))
    rejected = await make_manifest(gateway)
    await gateway.hear(PromptsRejected(job_id=rejected, code=ErrorCode.INVALID_REQUEST, message="no such template"))

    ends = [said for said in await gateway.said(RESULTS) if isinstance(said, JobOutcome)]

    assert [type(end) for end in ends] == [JobCancelled, JobFailed]
    assert [end.manifest for end in ends] == [result(), result()]
    assert (await gateway.job(rejected))["summary"] == summary()


async def test_a_picture_that_was_there_is_shown_with_the_address_of_its_asset(gateway: Gateway) -> None:
    private, public, small = uuid7(), uuid7(), uuid7()
    first = await heard_manifest(gateway, *made(ANY, 1, asset_id=private), *made(ANY, 2, asset_id=public, public=True))
    await gateway.hear(stored(first, 1, asset_id=small, output=16, role="thumbnail", public=False), unmade_of(first, 3))
    second = await heard_manifest(gateway, skipped(ANY, 1, private), skipped(ANY, 2, public), unmade(3))

    job = await gateway.job(second)

    Job.model_validate(job)
    mine, theirs, none = job["items"]
    assert [item["status"] for item in job["items"]] == ["skipped", "skipped", "failed"]
    assert (mine["asset_id"], theirs["asset_id"], mine["outputs"]) == (str(private), str(public), [])
    assert mine["url"].startswith(f"{ASSETS}/asset/{private}?exp=")
    assert "sig=" in mine["url"]
    assert mine["thumbnail_url"].startswith(f"{ASSETS}/asset/{small}?exp=")
    assert theirs["url"] == theirs["thumbnail_url"] == f"{ASSETS}/asset/{public}?v=1"
    assert (none["url"], none["thumbnail_url"]) == (None, None)


def unmade_of(job_id: UUID, item: int) -> GenerationFailed:
    return unmade(item).model_copy(update={"job_id": job_id})


async def test_a_present_picture_that_was_deleted_since_has_no_address(gateway: Gateway) -> None:
    asset_id = uuid7()
    first = await heard_manifest(gateway, *made(ANY, 1, asset_id=asset_id), blank=(2, 3))
    second = await heard_manifest(gateway, skipped(ANY, 1, asset_id), blank=(2, 3))
    url = f"{ASSETS}/asset/{asset_id}?v=2"
    shown = AssetVisibilityChanged(asset_id=asset_id, job_id=first, revision=2, is_public=True, url=url)
    await gateway.hear(shown)
    public = (await gateway.job(second))["items"][0]

    await gateway.hear(AssetDeleted(asset_id=asset_id, job_id=first, revision=3))

    gone = (await gateway.job(second))["items"][0]
    assert public["url"] == url
    assert (gone["status"], gone["asset_id"]) == ("skipped", str(asset_id))
    assert (gone["url"], gone["thumbnail_url"]) == (None, None)


async def test_nobody_gets_the_address_of_a_colleagues_private_picture_by_skipping_it(gateway: Gateway) -> None:
    asset_id, public = uuid7(), uuid7()
    colleague = someone(tenant_id=gateway.who.tenant_id)
    pictures = [*made(ANY, 1, asset_id=asset_id), *made(ANY, 2, asset_id=public, public=True)]
    first = await heard_manifest(gateway, *pictures, blank=(3,))
    mine = gateway.client
    gateway.client = await gateway.client_of(colleague)
    second = await heard_manifest(gateway, skipped(ANY, 1, asset_id), skipped(ANY, 2, public), blank=(3,))

    his, everybodys, _ = (await gateway.job(second))["items"]

    assert first != second
    assert (his["status"], his["asset_id"], his["url"], his["thumbnail_url"]) == (
        "skipped",
        str(asset_id),
        None,
        None,
    )
    assert everybodys["url"] == f"{ASSETS}/asset/{public}?v=1"
    everything = await gateway.client_of(someone("tenant:read", "jobs:read", tenant_id=gateway.who.tenant_id))
    seen = (await everything.get(f"/api/v1/jobs/{second}")).json()["items"][0]
    assert "sig=" in seen["url"]
    await gateway.client.aclose()
    gateway.client = mine


async def test_a_page_of_manifests_looks_up_its_present_pictures_together(gateway: Gateway) -> None:
    pictures = [uuid7() for _ in range(4)]
    for asset_id in pictures:
        await heard_manifest(gateway, *made(ANY, 1, asset_id=asset_id), blank=(2, 3))
    for asset_id in pictures:
        await heard_manifest(gateway, skipped(ANY, 1, asset_id), skipped(ANY, 2, pictures[0]), blank=(3,))
    asked: list[str] = []
    event.listen(
        gateway.engine.sync_engine, "before_cursor_execute", lambda *call: asked.append(call[2]) if call[2] else None
    )

    page = (await gateway.client.get("/api/v1/manifests?limit=8")).json()

    urls = [[item["url"] for item in job["items"]] for job in page["items"][:4]]
    for asset_id, shown in zip(reversed(pictures), urls, strict=True):
        assert [str(asset_id) in shown[0], str(pictures[0]) in shown[1], shown[2]] == [True, True, None]
    assert sum("FROM asset" in statement for statement in asked) == 1


async def test_a_job_from_before_paths_were_told_is_shown_without_one(gateway: Gateway) -> None:
    job_id = await heard_manifest(gateway, blank=(1, 2, 3))
    await gateway.run("UPDATE job SET view = regexp_replace(view, '\"path\":\"[^\"]*\",', '', 'g')")

    job = await gateway.job(job_id)

    Job.model_validate(job)
    assert [item["path"] for item in job["items"]] == [None, None, None]
