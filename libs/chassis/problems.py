"""Problem details for HTTP (RFC 9457): the one place where errors become answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from chassis.errors import BacklotError, FieldError, Invalid, MalformedRequest, RemoteProblem

MEDIA_TYPE = "application/problem+json"


class ProblemField(BaseModel):
    """One field at fault. `pointer` is a JSON pointer into the body, or `/query/name`, `/path/name`, `/header/name`."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """Every refused request is answered with this."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: list[ProblemField]


_CODES = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION",
    429: "TOO_MANY_REQUESTS",
    503: "UNAVAILABLE",
}


def answer(error: BacklotError, scope: Scope, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that tells `error` about the request in `scope`."""
    body = {
        "type": "urn:backlot:problem:" + error.code.lower().replace("_", "-"),
        "title": _title(error),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "instance": scope.get("path", ""),
        "errors": [{"pointer": item.pointer, "detail": item.detail} for item in error.errors],
    }
    return JSONResponse(body, error.status, {**_headers(error), **(headers or {})}, MEDIA_TYPE)


def _title(error: BacklotError) -> str:
    if isinstance(error, RemoteProblem):
        return _phrase(error.status)
    return error.title


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Something went wrong"


def _headers(error: BacklotError) -> dict[str, str]:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def from_http_exception(error: HTTPException) -> BacklotError:
    """What the framework itself refuses: unknown route, wrong method, body too large, unreadable body."""
    status = error.status_code
    code = _CODES.get(status, "INVALID_REQUEST" if status < 500 else "INTERNAL")
    return RemoteProblem(code, status, _detail(error))


def _detail(error: HTTPException) -> str:
    phrase = _phrase(error.status_code)
    if error.status_code >= 500:
        return phrase
    if error.status_code == 405 and error.headers and (allowed := error.headers.get("Allow")):
        return f"this address takes {allowed}"
    if error.status_code == 404 and error.detail == phrase:
        return "there is no such address; /openapi.json lists those there are"
    return error.detail or phrase


def from_validation(error: RequestValidationError) -> BacklotError:
    """No JSON is malformed (400), another media type unsupported (415), the rest invalid (422)."""
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "json_invalid":
            return _malformed(problem)
        if problem["loc"] == ("body",) and isinstance(problem.get("input"), bytes):
            return RemoteProblem("INVALID_REQUEST", 415, "the body must be JSON, with Content-Type: application/json")
    fields = [FieldError(pointer(problem["loc"]), _in_words(problem)) for problem in problems]
    return Invalid(_summary(fields), errors=fields)


def _malformed(problem: Mapping[str, Any]) -> BacklotError:
    why = problem.get("ctx", {}).get("error", "")
    position = problem["loc"][-1] if len(problem["loc"]) > 1 else 0
    return MalformedRequest(f"the body is not JSON: {why} at character {position}")


def _summary(fields: Sequence[FieldError]) -> str:
    if len(fields) == 1:
        return f"{fields[0].pointer or 'the body'} {fields[0].detail}"
    return f"{len(fields)} fields are not valid"


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) to where FastAPI found fault; body fields stand at the root."""
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "uuid_parsing": "must be a UUID",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
_SUBJECTS = (
    "Input should ",
    "String should ",
    "List should ",
    "Value should ",
    "Dictionary should ",
    "Decimal input should ",
)


def _in_words(problem: Mapping[str, Any]) -> str:
    known = _WORDS.get(problem["type"])
    if known is not None:
        return known
    if problem["type"] in {"too_long", "too_short"} and problem["ctx"].get("field_type") == "Value":
        # A text that was looked at before its length: pydantic does not know any more that it is one.
        side, limit = ("most", "max_length") if problem["type"] == "too_long" else ("least", "min_length")
        number = problem["ctx"][limit]
        return f"must have at {side} {number} character{'' if number == 1 else 's'}"
    said = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    for subject in _SUBJECTS:
        if said.startswith(subject):
            return "must " + said.removeprefix(subject)
    return said
