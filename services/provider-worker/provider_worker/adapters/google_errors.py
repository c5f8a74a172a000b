"""What Google's error bodies mean, for every API of it (spec/providers.md, section 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from provider_worker.adapters.interface import ErrorCode, ProviderError
from provider_worker.adapters.reading import member, members, text
from provider_worker.adapters.wire import Answer, shown, status_error

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_PLEASE_RETRY = re.compile(r"[Rr]etry in (\d+(?:\.\d+)?)s")
_KEY_SAID = re.compile(r"API key (not valid|expired|not found)", re.IGNORECASE)
_KEY_REASONS = {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "CONSUMER_SUSPENDED"}

_KEY_STATUS = {"PERMISSION_DENIED", "UNAUTHENTICATED"}
_TOO_MUCH = {"RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS"}


def google_error(answer: Answer) -> ProviderError:
    """`{"error": {"code", "message", "status", "details"}}`, sometimes the only element of a list.

    Interactions have `{"error": {"code": "too_many_requests", "message"}}` instead. The delay of a 429 stands in the
    body alone; a quota of the day is not worth waiting for.
    """
    body = answer.json_or_none()
    if isinstance(body, list) and body:
        body = body[0]
    error = member(body, "error")
    if not error:
        return status_error(answer, own=False)
    message, details = text(error, "message"), members(error, "details")
    status = _status(error)
    found = status_error(answer, shown(message), provider_code=status or None)
    if status in _KEY_STATUS or _reasons(details) & _KEY_REASONS or _KEY_SAID.search(message):
        found.code, found.scope = ErrorCode.AUTH_ERROR, "account"
    elif status in _TOO_MUCH:
        daily = _per_day(details) or "PerDay" in message
        found.code, found.scope = ErrorCode.QUOTA_EXCEEDED if daily else ErrorCode.RATE_LIMIT, "account"
        found.retry_after = _delay(details, message) or found.retry_after
    return found


def _status(error: Mapping[str, Any]) -> str:
    code = error.get("code")
    return text(error, "status") or (code.upper() if isinstance(code, str) else "")


def _reasons(details: Sequence[Mapping[str, Any]]) -> set[str]:
    return {text(detail, "reason") for detail in details}


def _per_day(details: Sequence[Mapping[str, Any]]) -> bool:
    violations = [found for detail in details for found in members(detail, "violations")]
    return any("PerDay" in text(found, "quotaId") for found in violations)


def _delay(details: Sequence[Mapping[str, Any]], message: str) -> float | None:
    for detail in details:
        if match := _SECONDS.fullmatch(text(detail, "retryDelay")):
            return float(match[1])
    said = _PLEASE_RETRY.search(message)
    return float(said[1]) if said else None
