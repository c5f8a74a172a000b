"""What the services behind Google's one address have in common: the key, the error body, the files they hand out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from simulator.call import Call
from simulator.generation import State
from simulator.refusals import Reason, Refused

HOST = "gemini"
"""The wire whose address and key the others share."""
VERSIONS = ("/v1beta", "/v1")
TWO_DAYS_S = 2 * 86_400

_RPC = "type.googleapis.com/google.rpc."

_WORDS: Mapping[Reason, tuple[int, str]] = {
    Reason.AUTH: (400, "INVALID_ARGUMENT"),
    Reason.QUOTA: (429, "RESOURCE_EXHAUSTED"),
    Reason.RATE: (429, "RESOURCE_EXHAUSTED"),
    Reason.CROWDED: (429, "RESOURCE_EXHAUSTED"),
    Reason.INVALID: (400, "INVALID_ARGUMENT"),
    Reason.NO_MODEL: (404, "NOT_FOUND"),
    Reason.NOT_FOUND: (404, "NOT_FOUND"),
    Reason.CONFLICT: (409, "ABORTED"),
    Reason.CANCELLED: (499, "CANCELLED"),
    Reason.FAILED: (500, "INTERNAL"),
    Reason.BROKEN: (500, "INTERNAL"),
}
_BROKEN = {500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 408: "DEADLINE_EXCEEDED"}


def refusal(refused: Refused) -> Response:
    """A status of google.rpc, with its details."""
    status, word = _WORDS[refused.reason]
    if refused.reason is Reason.BROKEN:
        status = refused.status or status
        word = _BROKEN.get(status, "UNKNOWN")
    error: dict[str, Any] = {"code": status, "message": refused.message, "status": word, "details": _details(refused)}
    headers = {}
    if refused.reason is Reason.RATE and refused.retry_after is not None and not refused.in_body:
        headers = {"retry-after": f"{refused.retry_after:g}"}
    return JSONResponse({"error": error}, status, headers)


def _details(refused: Refused) -> list[dict[str, Any]]:
    if refused.reason is Reason.AUTH:
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        return [{"@type": f"{_RPC}ErrorInfo", **info}]
    if refused.reason not in {Reason.QUOTA, Reason.RATE, Reason.CROWDED}:
        return []
    per = "PerDay" if refused.reason is Reason.QUOTA else "PerMinute"
    quota = {"quotaMetric": "generate_requests", "quotaId": f"GenerateRequests{per}PerProjectPerModel"}
    found: list[dict[str, Any]] = [{"@type": f"{_RPC}QuotaFailure", "violations": [quota]}]
    if refused.retry_after is not None and (refused.in_body or refused.reason is Reason.RATE):
        found.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{refused.retry_after:g}s"})
    return found


def key_of(request: Request) -> str | None:
    """The key of a header, or of the address."""
    return request.headers.get("x-goog-api-key") or request.query_params.get("key")


def file_address(base_url: str, file: str) -> str:
    """Where a file is downloaded from, with the key."""
    return f"{base_url}/{HOST}/v1beta/files/{file}:download?alt=media"


async def download(call: Call) -> Response:
    """Leads on to where the file lies, which takes no key."""
    generation = await call.find(call.request.path_params["generation"])
    if generation.state(call.now) is not State.DONE:
        raise Refused(Reason.NOT_FOUND, "The file does not exist or is not ready.")
    return RedirectResponse((await call.links(generation))[0], 302)
