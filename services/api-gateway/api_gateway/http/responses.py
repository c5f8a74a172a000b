"""Answers and the conditions on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.rendering import JobRow, Sign, job_json
from chassis import problems
from chassis.errors import BacklotError
from objects.signing import Grant, SigningKey, sign

RETRY_AFTER = "1"
_NOT_KEPT = {"Cache-Control": "private, no-cache"}
NEW_JOB_HEADERS = {"ETag": '"1"', **_NOT_KEPT, "Retry-After": RETRY_AFTER}
"""As `job_headers`, for a job that was accepted this moment."""


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(to_json(body), status, headers, "application/json")


def job_headers(row: JobRow) -> dict[str, str]:
    """ETag, and when to look again while the job goes on."""
    headers = {"ETag": row.etag, **_NOT_KEPT}
    if not row.terminal:
        headers["Retry-After"] = RETRY_AFTER
    return headers


def job_answer(
    row: JobRow, signer: Sign, *, status: int = 200, extra: Mapping[str, str] | None = None, **parts: Any
) -> Response:
    """A job with its headers; `parts` are added to its body."""
    return answer({**job_json(row, signer), **parts}, status, {**job_headers(row), **(extra or {})})


def not_modified(row: JobRow) -> Response:
    """What the client has is still true."""
    return Response(status_code=304, headers=job_headers(row))


def matches(request: Request, row: JobRow) -> bool:
    """Whether the client has this version already (RFC 9110, 13.1.2)."""
    wanted = request.headers.get("if-none-match")
    if wanted is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    return row.etag in tags or "*" in tags


def problem(error: BacklotError, instance: str) -> Any:
    """The problem that `error` is answered with, as a part of a larger answer."""
    return from_json(bytes(problems.answer(error, {"type": "http", "path": instance}).body))


def signer(key: SigningKey, ttl_s: int) -> Sign:
    """Signs URLs of private assets for `ttl_s` seconds."""

    def signed(url: str, tenant_id: UUID, asset_id: UUID, sha256: str, now: float) -> str:
        query = sign(key, Grant(tenant_id, asset_id, sha256), now=now, ttl_s=ttl_s).query
        return f"{url}{'&' if '?' in url else '?'}{query}"

    return signed
