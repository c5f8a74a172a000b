"""What Google's error bodies mean, for every API of it (spec/providers.md, section 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from provider_worker.adapters.interface import ErrorCode, ProviderError
from provider_worker.adapters.wire import Answer, shown, status_error

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_PLEASE_RETRY = re.compile(r"[Rr]etry in (\d+(?:\.\d+)?)s")
_KEY_REASONS = {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "CONSUMER_SUSPENDED"}


def google_error(answer: Answer) -> ProviderError:
    """`{"error": {"code", "message", "status", "details"}}`, sometimes the only element of a list.

    The delay of a 429 stands in the body alone; a quota of the day is not worth waiting for.
    """
    body = answer.json_or_none()
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return status_error(answer, own=False)
    status, details = str(error.get("status") or ""), _details(error)
    found = status_error(answer, shown(error.get("message")), provider_code=status or None)
    if status in {"PERMISSION_DENIED", "UNAUTHENTICATED"} or _reasons(details) & _KEY_REASONS:
        found.code, found.scope = ErrorCode.AUTH_ERROR, "account"
    elif status == "RESOURCE_EXHAUSTED":
        found.code, found.scope = (
            (ErrorCode.QUOTA_EXCEEDED, "account") if _per_day(details) else (ErrorCode.RATE_LIMIT, "account")
        )
        found.retry_after = _delay(details, str(error.get("message") or "")) or found.retry_after
    return found


def _details(error: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [detail for detail in error.get("details") or () if isinstance(detail, dict)]


def _reasons(details: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(detail["reason"]) for detail in details if "reason" in detail}


def _per_day(details: Sequence[Mapping[str, Any]]) -> bool:
    violations = [found for detail in details for found in detail.get("violations") or ()]
    return any("PerDay" in str(found.get("quotaId")) for found in violations if isinstance(found, dict))


def _delay(details: Sequence[Mapping[str, Any]], message: str) -> float | None:
    for detail in details:
        if match := _SECONDS.fullmatch(str(detail.get("retryDelay") or "")):
            return float(match[1])
    said = _PLEASE_RETRY.search(message)
    return float(said[1]) if said else None
