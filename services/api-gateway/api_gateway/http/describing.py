"""What the OpenAPI document says of bodies and answers. A test holds real answers against these models."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from api_gateway.requests import GenerateRequest, JobRequest

_JOB_ID = "01981d2e-7b8c-7f00-8a00-0000000000a1"
_ASSET_ID = "01981d2e-9c11-7a00-8a00-0000000000c1"
_THUMBNAIL_ID = "01981d2e-9c11-7a00-8a00-0000000000c2"
_KIT_ID = "01981d2d-1111-7a00-8a00-0000000000d1"
_TIME = "2030-01-31T12:00:00Z"


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid")


class ItemCost(Shape):
    estimated: str | None = Field(examples=["0.04"])
    actual: str | None = Field(examples=["0.039"])


class Cost(Shape):
    """Decimal strings. `reserved` is all that was ever held; `settled`: no hold is open, `actual` is final."""

    estimated: str | None = Field(examples=["0.04"])
    reserved: str = Field(examples=["0.04"])
    actual: str = Field(examples=["0.039"])
    currency: str = Field(examples=["USD"])
    settled: bool


class Failure(Shape):
    code: str = Field(examples=["PROVIDER_ERROR"])
    message: str
    stage: str | None


class Output(Shape):
    """One stored output; `url` is signed for a private one, null for a deleted one.

    `thumbnail_url` is a small WebP, or a picture's own address where that is small enough.
    """

    asset_id: UUID
    role: str
    url: str | None
    thumbnail_url: str | None
    is_public: bool
    sha256: str
    mime: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size: int


class LateOutput(Output):
    """What was stored after its item had ended otherwise, until a redownload makes it the item's."""

    item: int
    attempt: int


class Redownload(Shape):
    """The last request to fetch what was paid for again; `message` says why it is not here."""

    state: Literal["requested", "fetched", "failed"]
    message: str | None


class Item(Shape):
    """`outputs` of a failed or cancelled item are what a redownload brought: its status stays."""

    number: int
    name: str | None
    group: str | None
    status: Literal["queued", "processing", "completed", "skipped", "failed", "cancelled"]
    attempt: int
    provider: str | None
    model: str | None
    prompt_version: str | None
    flags: list[str]
    warnings: list[str]
    asset_id: UUID | None
    url: str | None
    thumbnail_url: str | None
    cost: ItemCost
    error: Failure | None
    outputs: list[Output]
    redownload: Redownload | None


class Cancellation(Shape):
    state: Literal["cancel_requested", "cancelled", "completed_anyway"]
    reason: Literal["user", "deadline"]
    charged: Literal["yes", "no", "unknown"]
    amount: str | None


class Job(Shape):
    """A job. `version` grows with every change and is the ETag; `status` is final once it is one of the last four."""

    id: UUID
    status: Literal["queued", "processing", "completed", "partial", "failed", "cancelled"]
    stage: Literal["prompting", "generating", "uploading", "persisting"] | None
    progress: int = Field(ge=0, le=100)
    kind: str
    asset_type: str | None
    user_id: UUID
    brand_kit_id: UUID | None
    prompt: str | None
    labels: dict[str, str]
    items: list[Item]
    cost: Cost
    error: Failure | None
    error_message: str | None
    cancellation: Cancellation | None
    warnings: list[str]
    retry_of: UUID | None
    retried_by: UUID | None
    late_outputs: list[LateOutput]
    created_at: str = Field(examples=[_TIME])
    updated_at: str
    completed_at: str | None
    version: int


class Asset(Shape):
    """An asset of a job, or an upload: `job_id` and `item` are null then."""

    id: UUID
    origin: Literal["job", "upload"]
    job_id: UUID | None
    item: int | None
    user_id: UUID
    asset_type: str | None
    kind: str
    role: str
    late: bool
    url: str
    thumbnail_url: str | None
    path: str
    version: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size: int
    mime: str
    sha256: str
    is_public: bool
    flags: list[str]
    viral_score: float | None
    provenance: dict[str, Any] | None
    created_at: str


class JobWithAssets(Job):
    """With `include=assets`."""

    assets: list[Asset] = []


class JobList(Shape):
    """A page of jobs, newest first; `next_cursor` is null on the last page."""

    items: list[Job]
    total: int
    limit: int
    offset: int
    next_cursor: str | None


class AssetList(Shape):
    items: list[Asset]
    total: int
    limit: int
    offset: int
    next_cursor: str | None


class BrandKitBody(BaseModel):
    """A brand kit; prompt-service checks it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Neon Drift",
                    "primary_colors": ["#7C3AED", "#22D3EE"],
                    "accent_colors": ["#F97316"],
                    "headline_font": "Space Grotesk",
                    "body_font": "Inter",
                    "tone": "bold and playful",
                }
            ]
        }
    )

    name: str
    primary_colors: list[str]
    accent_colors: list[str] = []
    headline_font: str | None = None
    body_font: str | None = None
    tone: str
    style_reference: str | None = None


class BrandKitAnswer(BrandKitBody):
    """A brand kit in one version."""

    id: UUID
    version: int
    created_at: str
    updated_at: str


class BrandKitList(BaseModel):
    items: list[BrandKitAnswer]
    total: int
    limit: int
    offset: int


_ITEM_EXAMPLE: dict[str, Any] = {
    "number": 1,
    "name": None,
    "group": None,
    "status": "completed",
    "attempt": 1,
    "provider": "sandbox",
    "model": "sandbox-1",
    "prompt_version": "thumbnail@v1.0",
    "flags": [],
    "warnings": [],
    "asset_id": _ASSET_ID,
    "url": f"https://assets.example/asset/{_ASSET_ID}?v=1",
    "thumbnail_url": f"https://assets.example/asset/{_THUMBNAIL_ID}?v=1",
    "cost": {"estimated": "0.04", "actual": "0.04"},
    "error": None,
    "outputs": [],
    "redownload": None,
}
JOB_EXAMPLE: dict[str, Any] = {
    "id": _JOB_ID,
    "status": "completed",
    "stage": None,
    "progress": 100,
    "kind": "image",
    "asset_type": "thumbnail",
    "user_id": "00000000-0000-7000-8000-000000000002",
    "brand_kit_id": _KIT_ID,
    "prompt": "finals night",
    "labels": {},
    "items": [_ITEM_EXAMPLE],
    "cost": {"estimated": "0.04", "reserved": "0.04", "actual": "0.04", "currency": "USD", "settled": True},
    "error": None,
    "error_message": None,
    "cancellation": None,
    "warnings": [],
    "retry_of": None,
    "retried_by": None,
    "late_outputs": [],
    "created_at": _TIME,
    "updated_at": "2030-01-31T12:00:01Z",
    "completed_at": "2030-01-31T12:00:01Z",
    "version": 9,
}

Responses = dict[int | str, dict[str, Any]]


def _json(model: type[BaseModel], description: str, example: Any = None, **headers: str) -> dict[str, Any]:
    content: dict[str, Any] = {"example": example} if example is not None else {}
    described = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
    }
    return {"model": model, "description": description, "content": {"application/json": content}, "headers": described}


_ETAG = "the job's version; send it as If-None-Match"
_RETRY = "seconds after which to look again; absent once the job has ended"

JOB: Responses = {
    200: _json(JobWithAssets, "The job", {**JOB_EXAMPLE, "assets": []}, ETag=_ETAG, Retry_After=_RETRY),
    304: {"description": "The job is still the version in If-None-Match"},
}
JOB_ACCEPTED: Responses = {
    202: _json(
        Job,
        "The job was accepted, or was accepted before with the same Idempotency-Key",
        {**JOB_EXAMPLE, "status": "queued", "progress": 0, "items": [], "completed_at": None, "version": 1},
        ETag=_ETAG,
        Retry_After=_RETRY,
        Location="where the job is read",
    )
}
JOB_LIST: Responses = {200: _json(JobList, "A page of jobs")}
ASSETS: Responses = {200: _json(AssetList, "The assets of the job")}
ASSET: Responses = {200: _json(Asset, "The asset")}
UPLOAD: Responses = {
    201: _json(Asset, "The upload is an asset of yours"),
    200: _json(Asset, "You have uploaded the same bytes before: this is the asset"),
}
BRAND_KIT: Responses = {"2XX": _json(BrandKitAnswer, "The brand kit")}
BRAND_KITS: Responses = {200: _json(BrandKitList, "A page of brand kits")}

_BODIES: dict[str, type[BaseModel]] = {}


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The requestBody of a route that reads its body itself."""
    _BODIES[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    body = {"required": required, "content": {"application/json": {"schema": schema}}}
    extra: dict[str, Any] = {"requestBody": body}
    if model in {JobRequest, GenerateRequest}:
        extra["parameters"] = [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "the same key with the same body is the same job; with another body it is refused (R23)",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        ]
    return extra


def _query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


LIST_PARAMETERS = {
    "parameters": [
        _query("status", {"enum": ["queued", "processing", "completed", "partial", "failed", "cancelled"]}),
        _query("kind", {"enum": ["image", "texture", "environment_map", "video", "sfx", "music", "model_3d"]}),
        _query("asset_type", {"enum": ["thumbnail", "overlay", "banner", "story_graphic", "clip_cover"]}),
        _query("created_after", {"type": "string", "format": "date-time"}),
        _query("created_before", {"type": "string", "format": "date-time"}),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _query("offset", {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 0}),
        _query("cursor", {"type": "string"}, "next_cursor of the page before; not together with offset"),
    ]
}


def describe(app: FastAPI) -> None:
    """Adds to the OpenAPI document what FastAPI cannot see: bodies read by hand, and how to authenticate."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        document = generate()
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for name, model in _BODIES.items():
            if name not in schemas:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[name] = schema
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, bk_..."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        return document

    app.openapi = complete  # type: ignore[method-assign] # the documented way to extend it
