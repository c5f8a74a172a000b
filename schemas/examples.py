"""One hand-made example of every event: what the contract documents show and what consumers are tested with."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from schemas import events as e
from schemas import parts as p
from schemas.cloudevents import CloudEvent
from schemas.dead_letters import Header
from schemas.event import Event
from schemas.results import ManifestResult, ResultAsset, ResultError
from schemas.topics import TOPICS

TIME = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
JOB = UUID("019aa0f0-0000-7000-8000-000000000001")
TENANT = UUID("019aa0f0-0000-7000-8000-000000000002")
USER = UUID("019aa0f0-0000-7000-8000-000000000003")
KIT = UUID("019aa0f0-0000-7000-8000-000000000004")
ASSET = UUID("019aa0f0-0000-7000-8000-000000000005")
ATTEMPT = UUID("019aa0f0-0000-7000-8000-000000000006")
BUDGET = UUID("019aa0f0-0000-7000-8000-000000000007")
EVENT = UUID("019aa0f0-0000-7000-8000-000000000008")
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PICTURE = f"https://assets.example.com/asset/{ASSET}"

KIT_REF = p.VersionRef(id=KIT, version=1)
PAID = p.Billing(state="final", amount_micros=40_000)
FREE = p.Billing(state="none")
CONTEXT = p.AssetContext(
    user_id=USER,
    kind=p.Kind.IMAGE,
    asset_type=p.AssetType.THUMBNAIL,
    brand_kit=KIT_REF,
    labels={"scene": "12"},
)
LINEAGE = p.Lineage(
    template="thumbnail",
    template_version="v1.0",
    template_sha256=SHA,
    prompt_sha256=SHA,
    provider="sandbox",
    model="sandbox-image-1",
    seed=7,
    generated_at=TIME,
)
OUTPUT = p.Output(
    number=0,
    staged_key=f"staging/{TENANT}/{ATTEMPT}/0",
    sha256=SHA,
    content_sha256=SHA,
    size=48_213,
    mime="image/png",
    width=1280,
    height=720,
    marking=p.Marking(
        digital_source_type="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        place="XMP",
        signed=True,
    ),
)
REQUESTER = p.Requester(source="/platforms/campaigns", id="order-17", idempotencykey="order-17")
OUTCOME = {
    "job_id": JOB,
    "user_id": USER,
    "kind": p.Kind.IMAGE,
    "asset_type": p.AssetType.THUMBNAIL,
    "items": 2,
    "currency": "USD",
    "labels": {"scene": "12"},
    "requester": REQUESTER,
    "completed_at": TIME,
}
RESULT_ASSET = ResultAsset(
    item=1, asset_id=ASSET, url=PICTURE, sha256=SHA, mime="image/png", file_size=48_213, width=1280, height=720
)
NO_ITEM = ResultError(code="PROVIDER_ERROR", message="the provider gave no picture", stage="generating")

DATA: tuple[Event, ...] = (
    e.JobRequested(
        job_id=JOB,
        user_id=USER,
        request=p.JobSpec(
            kind=p.Kind.IMAGE,
            asset_type=p.AssetType.THUMBNAIL,
            prompt='A dragon over a neon city, "Final Boss Tonight"',
            width=1280,
            height=720,
            labels={"scene": "12"},
            inputs=[
                p.Input(role="reference", asset_id=ASSET, mime="image/png", sha256=SHA, size=48_213),
                p.Input(role="style", url="https://images.example.com/neon.webp"),
            ],
        ),
        brand_kit=KIT_REF,
        max_cost_micros=500_000,
    ),
    e.JobRequested(
        job_id=JOB,
        user_id=USER,
        request=p.JobSpec(
            kind=p.Kind.IMAGE,
            manifest=p.ManifestSpec(
                channel="deep-sea",
                project="whales",
                atmosphere="Cold blue light from above.",
                items=[p.ManifestItem(group="characters", name="old whale", prompt="an old whale with scars")],
                next_step="generate_videos",
            ),
        ),
        style_capsule=KIT_REF,
    ),
    e.JobCancelRequested(job_id=JOB, reason="user"),
    e.JobRedownloadRequested(job_id=JOB, item=1),
    e.PromptsPrepared(
        job_id=JOB,
        items=[
            p.PreparedItem(
                number=1,
                logical_name="thumbnail/dragon-over-a-neon-city.png",
                prompt="Gaming thumbnail. A dragon over a neon city. Colours #7C3AED and #22D3EE. Tone: bold.",
                kind=p.Kind.IMAGE,
                width=1280,
                height=720,
                format="png",
                template="thumbnail",
                template_version="v1.0",
                template_sha256=SHA,
                prompt_sha256=SHA,
                headline="Final Boss Tonight",
                palette=["#7C3AED", "#22D3EE"],
            )
        ],
        max_cost_micros=500_000,
        asset_context=CONTEXT,
    ),
    e.PromptsRejected(
        job_id=JOB, code=p.ErrorCode.INVALID_REQUEST, message="there is no template poster v1.0 (TemplateNotFound)"
    ),
    e.GenerationQuoted(
        job_id=JOB,
        user_id=USER,
        attempt=1,
        items=[p.QuotedItem(number=1, provider="sandbox", model="sandbox-image-1", amount_micros=40_000)],
        currency="USD",
        price_version="2026-11-20",
        max_cost_micros=500_000,
    ),
    e.GenerationStarted(job_id=JOB, item=1, attempt=1, provider="sandbox", model="sandbox-image-1"),
    e.GenerationProgressed(job_id=JOB, item=1, attempt=1, progress=40),
    e.GenerationSkipped(job_id=JOB, item=1, asset_id=ASSET, warnings=["what is there is 640x360, not 1280x720"]),
    e.GenerationCompleted(
        job_id=JOB,
        item=1,
        attempt=1,
        outputs=[OUTPUT],
        fit=p.Fit(native_width=1280, native_height=720, method="none"),
        billing=PAID,
        logical_name="thumbnail/dragon-over-a-neon-city.png",
        lineage=LINEAGE,
        asset_context=CONTEXT,
    ),
    e.GenerationFailed(
        job_id=JOB,
        item=1,
        attempt=1,
        code=p.ErrorCode.CONTENT_POLICY,
        message="the provider refused the prompt",
        stage=p.Stage.GENERATING,
        final=True,
        billing=FREE,
        provider="sandbox",
        model="sandbox-image-1",
    ),
    e.GenerationCancelled(
        job_id=JOB, item=1, attempt=1, message="cancelled by its user", stage=p.Stage.GENERATING, billing=FREE
    ),
    e.GenerationSettled(job_id=JOB, item=1, attempt=1, billing=PAID, evidence="bill line 4711 of the provider"),
    e.AssetStored(
        job_id=JOB,
        item=1,
        attempt=1,
        output=0,
        asset_id=ASSET,
        revision=1,
        version=1,
        user_id=USER,
        kind=p.Kind.IMAGE,
        asset_type=p.AssetType.THUMBNAIL,
        logical_name="thumbnail/dragon-over-a-neon-city.png",
        url=PICTURE,
        sha256=SHA,
        file_size=48_213,
        mime="image/png",
        width=1280,
        height=720,
        is_public=True,
    ),
    e.AssetStoreFailed(
        job_id=JOB, item=1, attempt=1, output=0, code=p.ErrorCode.STORAGE_ERROR, message="no space is left"
    ),
    e.AssetVisibilityChanged(asset_id=ASSET, job_id=JOB, revision=2, is_public=False, url=PICTURE),
    e.AssetDeleted(asset_id=ASSET, job_id=JOB, revision=3),
    e.CostReserved(job_id=JOB, attempt=1, items=[1], amount_micros=40_000, currency="USD"),
    e.BudgetRefused(
        job_id=JOB,
        attempt=1,
        items=[1],
        amount_micros=40_000,
        currency="USD",
        cap="budget",
        limit_micros=25_000_000,
        left_micros=10_000,
    ),
    e.CostRecorded(
        job_id=JOB,
        item=1,
        attempt=1,
        captured_micros=40_000,
        released_micros=0,
        currency="USD",
        provider="sandbox",
        model="sandbox-image-1",
    ),
    e.BudgetThresholdCrossed(
        budget_id=BUDGET, percent=80, spent_micros=20_000_000, limit_micros=25_000_000, currency="USD"
    ),
    e.ProviderCallbackReceived(
        provider="nanobanana", attempt_id=ATTEMPT, headers={"content-type": "application/json"}, body_base64="e30="
    ),
    e.JobSubmitted(job={"asset_type": "thumbnail", "prompt": "A dragon over a neon city"}, idempotencykey="order-17"),
    e.JobAccepted(job_id=JOB, requester=REQUESTER),
    e.JobAccepted(job_id=JOB, labels={"notion_page_id": "1f0c8a1e-7f5e-4c39-9c53-0a2b7d1e9f10"}),
    e.JobRefused(requester=REQUESTER, code="VALIDATION", detail="/width: must be at most 4096"),
    e.JobCompleted(**OUTCOME, status="completed", completed=2, assets=[RESULT_ASSET], cost_micros=80_000, settled=True),
    e.JobPartial(
        **OUTCOME,
        status="partial",
        completed=1,
        assets=[RESULT_ASSET],
        error=NO_ITEM,
        cost_micros=40_000,
        settled=True,
    ),
    e.JobCompleted(
        **{**OUTCOME, "items": 22, "asset_type": None, "requester": None},
        status="completed",
        completed=22,
        manifest=ManifestResult(
            channel="deep-sea",
            project="whales",
            generated=10,
            skipped=12,
            failed=0,
            total_cost_micros=680_000,
            next_step="generate_videos",
        ),
        cost_micros=680_000,
        settled=True,
    ),
    e.JobFailed(**OUTCOME, status="failed", completed=0, error=NO_ITEM, cost_micros=0, settled=True),
    e.JobCancelled(**OUTCOME, status="cancelled", completed=0, cost_micros=0, settled=True),
    e.JobSettled(job_id=JOB, cost_micros=80_000, currency="USD", requester=REQUESTER),
    e.DeadLettered(
        service="prompt-service",
        source_topic="backlot.jobs",
        partition=0,
        offset=42,
        key_base64=None,
        value_base64="bm90IGpzb24=",
        headers=[Header(name="ce_type", value_base64=None)],
        error_type="DecodeError",
        error="header ce_type is null",
        seen_at=TIME,
    ),
)


def _source(data: Event) -> str:
    owner = TOPICS[data.topic].owner
    if isinstance(data, e.DeadLettered):
        return f"/services/{data.service}"
    return f"/services/{owner}" if "-" in owner else REQUESTER.source


EXAMPLES: dict[str, CloudEvent[Event]] = {
    data.type: CloudEvent(
        id=EVENT,
        source=_source(data),
        subject=getattr(data, "job_id", None) or getattr(data, "asset_id", None) or BUDGET,
        tenant_id=TENANT,
        time=TIME,
        data=data,
        traceparent=TRACEPARENT,
    )
    for data in DATA
}
