"""What the OpenAPI document says of bodies and answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api_gateway.http.job_shapes import Asset, AssetList, Job, JobList, JobWithAssets
from api_gateway.manifest_requests import ManifestRequest
from api_gateway.requests import GenerateRequest, JobRequest
from api_gateway.storyboard import StoryboardRequest

_JOB_ID = "01981d2e-7b8c-7f00-8a00-0000000000a1"
_ASSET_ID = "01981d2e-9c11-7a00-8a00-0000000000c1"
_THUMBNAIL_ID = "01981d2e-9c11-7a00-8a00-0000000000c2"
_KIT_ID = "01981d2d-1111-7a00-8a00-0000000000d1"
_TIME = "2030-01-31T12:00:00Z"


_ITEM_EXAMPLE: dict[str, Any] = {
    "number": 1,
    "name": None,
    "group": None,
    "path": "images/fox.png",
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
    "style_capsule_id": None,
    "prompt": "finals night",
    "labels": {},
    "items": [_ITEM_EXAMPLE],
    "manifest": None,
    "summary": None,
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


def described(model: type[BaseModel], description: str, example: Any = None, **headers: str) -> dict[str, Any]:
    """An answer, as a route's `responses` take it; a header's name has `_` where it has a dash."""
    content: dict[str, Any] = {"example": example} if example is not None else {}
    told = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
    }
    return {"model": model, "description": description, "content": {"application/json": content}, "headers": told}


_ETAG = "the job's version; send it as If-None-Match"
_RETRY = "seconds after which to look again; absent once the job has ended"

JOB: Responses = {
    200: described(JobWithAssets, "The job", {**JOB_EXAMPLE, "assets": []}, ETag=_ETAG, Retry_After=_RETRY),
    304: {"description": "The job is still the version in If-None-Match"},
}
JOB_ACCEPTED: Responses = {
    202: described(
        Job,
        "The job was accepted, or was accepted before with the same Idempotency-Key",
        {**JOB_EXAMPLE, "status": "queued", "progress": 0, "items": [], "completed_at": None, "version": 1},
        ETag=_ETAG,
        Retry_After=_RETRY,
        Location="where the job is read",
    )
}
JOB_LIST: Responses = {200: described(JobList, "A page of jobs")}
ASSETS: Responses = {200: described(AssetList, "The assets of the job")}
ASSET: Responses = {200: described(Asset, "The asset")}
UPLOAD: Responses = {
    201: described(Asset, "The upload is an asset of yours"),
    200: described(Asset, "You have uploaded the same bytes before: this is the asset"),
}

_BODIES: dict[str, type[BaseModel]] = {}


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The requestBody of a route that reads its body itself."""
    _BODIES[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    body = {"required": required, "content": {"application/json": {"schema": schema}}}
    extra: dict[str, Any] = {"requestBody": body}
    if model in {JobRequest, GenerateRequest, ManifestRequest, StoryboardRequest}:
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


def query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    """A parameter of a route that reads its query itself."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


STATUS = query("status", {"enum": ["queued", "processing", "completed", "partial", "failed", "cancelled"]})
PAGE = [
    query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    query("offset", {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 0}),
    query("cursor", {"type": "string"}, "next_cursor of the page before; not together with offset"),
]
LIST_PARAMETERS = {
    "parameters": [
        STATUS,
        query("kind", {"enum": ["image", "texture", "environment_map", "video", "sfx", "music", "model_3d"]}),
        query("asset_type", {"enum": ["thumbnail", "overlay", "banner", "story_graphic", "clip_cover"]}),
        query("created_after", {"type": "string", "format": "date-time"}),
        query("created_before", {"type": "string", "format": "date-time"}),
        *PAGE,
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
