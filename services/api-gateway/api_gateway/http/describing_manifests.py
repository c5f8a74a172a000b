"""What the OpenAPI document says of manifests beside what it says of every job."""

from __future__ import annotations

from typing import Any

from api_gateway.http.describing import JOB_ACCEPTED, JOB_EXAMPLE, PAGE, STATUS, Responses, described, query
from api_gateway.http.job_shapes import Job
from chassis.problems import Problem

_JOB_ID = JOB_EXAMPLE["id"]
_ACCEPTED: dict[str, Any] = {
    **JOB_EXAMPLE,
    "status": "queued",
    "progress": 0,
    "asset_type": None,
    "brand_kit_id": None,
    "prompt": None,
    "items": [],
    "manifest": {"channel": "deep-sea", "project": "whales", "resume": True, "next_step": "generate_videos"},
    "summary": {"generated": 0, "skipped": 0, "failed": 0, "total_cost_usd": "0.00"},
    "cost": {"estimated": None, "reserved": "0.00", "actual": "0.00", "currency": "USD", "settled": False},
    "completed_at": None,
    "version": 1,
}
_RUNNING = f"is being made by job {_JOB_ID}"
_CONFLICT = {
    "type": "urn:backlot:problem:conflict",
    "title": "Conflicts with the present state",
    "status": 409,
    "code": "CONFLICT",
    "detail": f"the project 'whales' of the channel 'deep-sea' {_RUNNING}",
    "instance": "/api/v1/manifests",
    "errors": [{"pointer": "/project", "detail": _RUNNING}],
}

MANIFEST_ACCEPTED: Responses = {
    202: {
        **described(Job, "The manifest was accepted, or was accepted before with the same Idempotency-Key", _ACCEPTED),
        "headers": JOB_ACCEPTED[202]["headers"],
    },
    409: {
        "model": Problem,
        "description": "A manifest of this channel and project runs, or the Idempotency-Key was used for another one",
        "content": {"application/problem+json": {"example": _CONFLICT}},
    },
}

_WORD = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,100}$"}
MANIFEST_PARAMETERS = {"parameters": [query("channel", _WORD), query("project", _WORD), STATUS, *PAGE]}
