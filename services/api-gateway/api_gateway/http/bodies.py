"""Request bodies, read and checked without detours: one pass of pydantic over the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import ClientDisconnect, Request

from chassis.errors import BacklotError, MalformedRequest, RemoteProblem
from chassis.problems import from_validation

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """The bytes of a JSON body. Raises 415 for another media type."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise RemoteProblem(
            "INVALID_REQUEST", 415, f"the body must be JSON, with Content-Type: application/json, not {media_type[:80]}"
        )
    # Starlette's own reader is a generator around a stream; a body of one message does not need it.
    parts = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_json(request: Request) -> Any:
    """A JSON body of any shape."""
    body = await read_body(request)
    try:
        said = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from error
    # 1e400 is JSON and becomes infinity, which is none: what is passed on could not be written again.
    if not _is_finite(said):
        raise MalformedRequest("the body has a number that is too large")
    return said


def _is_finite(said: Any) -> bool:
    match said:
        case dict():
            return all(map(_is_finite, said.values()))
        case list():
            return all(map(_is_finite, said))
        case float():
            return isfinite(said)
    return True


def parse(model: type[M], body: bytes) -> M:
    """`body` as `model`. Raises `MalformedRequest` (400) for what is not JSON, `Invalid` (422) naming every field."""
    try:
        # Strict: the text "12" is no number and 1 is no truth value, as the published schema says.
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise refusal(error) from error


def refusal(error: ValidationError) -> BacklotError:
    """What is wrong with a body, field by field."""
    problems = error.errors(include_url=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return MalformedRequest(f"the body is not JSON: {problems[0]['ctx']['error']}")
    # The chassis has the words; it knows a body's fields by their first step, as FastAPI names them.
    located = [{**problem, "loc": ("body", *_location(problem))} for problem in problems]
    return from_validation(RequestValidationError(located))


def _location(problem: ErrorDetails) -> Sequence[str | int]:
    return [part for part in problem["loc"] if part != "[key]"]
