"""CloudEvents 1.0 on Kafka: binary mode for writing, binary and structured mode for reading.

Binary mode puts the attributes into `ce_*` headers and the JSON data into the value (CloudEvents Kafka protocol
binding 1.0.2, section 3.2). The record's key is the subject: a job's id, or the aggregate's where there is no job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import ValidationError

from schemas.event import Event

E_co = TypeVar("E_co", bound=Event, covariant=True)

SPECVERSION = "1.0"
JSON_CONTENT = "application/json"
STRUCTURED_CONTENT = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class CloudEvent(Generic[E_co]):
    """An event with its envelope. `subject` is the record's key, `traceparent` the W3C trace context of its cause."""

    id: UUID
    source: str
    subject: UUID
    tenant_id: UUID
    time: datetime
    data: E_co
    traceparent: str | None = None


class DecodeError(ValueError):
    """A record that is no event of ours. `ours`: it claims a type we know, so its producer or our model is at fault."""

    def __init__(self, reason: str, *, ours: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.ours = ours


def encode_headers(event: CloudEvent[Event]) -> list[tuple[str, str]]:
    """The record headers of `event` in binary mode."""
    headers = [
        ("ce_specversion", SPECVERSION),
        ("ce_id", str(event.id)),
        ("ce_type", event.data.type),
        ("ce_source", event.source),
        ("ce_time", _time_text(event.time)),
        ("ce_subject", str(event.subject)),
        ("ce_tenantid", str(event.tenant_id)),
        ("content-type", JSON_CONTENT),
    ]
    if event.traceparent:
        headers.append(("traceparent", event.traceparent))
    return headers


# All events of a batch have one time.
@lru_cache(maxsize=64)
def _time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encode(event: CloudEvent[Event]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record that carries `event`."""
    headers = [(name, value.encode()) for name, value in encode_headers(event)]
    return str(event.subject).encode(), event.data.model_dump_json().encode(), headers


def decode(
    headers: Iterable[tuple[str, bytes | None]], value: bytes | None, types: Mapping[str, type[Event]]
) -> CloudEvent[Event]:
    """The event in a record, whichever mode it came in.

    Raises `DecodeError` for anything that is not a CloudEvent 1.0 of one of `types` with data that fits its model.
    """
    texts = _header_texts(headers)
    if not value:
        raise DecodeError("the record has no value")
    if texts.get("content-type", "").split(";")[0].strip() == STRUCTURED_CONTENT:
        return _decode_structured(value, types)
    model = _model_of(texts, types)
    try:
        data = model.model_validate_json(value)
    except ValidationError as error:
        raise DecodeError(_words(error), ours=True) from error
    return _envelope(texts, data)


def _header_texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    texts = {}
    for name, raw in headers:
        if raw is None:
            if name.startswith("ce_"):
                raise DecodeError(f"header {name} is null")
            continue
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError as error:
            if name.startswith("ce_"):
                raise DecodeError(f"header {name} is not UTF-8") from error
    return texts


def _decode_structured(value: bytes, types: Mapping[str, type[Event]]) -> CloudEvent[Event]:
    try:
        body: Any = json.loads(value)
    except ValueError as error:
        raise DecodeError("the value is not JSON") from error
    if not isinstance(body, dict):
        raise DecodeError("a structured CloudEvent is a JSON object")
    texts = {f"ce_{name}": text for name, text in body.items() if isinstance(text, str)}
    model = _model_of(texts, types)
    try:
        data = model.model_validate_json(json.dumps(body.get("data")))
    except ValidationError as error:
        raise DecodeError(_words(error), ours=True) from error
    return _envelope({**texts, "traceparent": texts.get("ce_traceparent", "")}, data)


_REQUIRED = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_tenantid")


def _model_of(texts: Mapping[str, str], types: Mapping[str, type[Event]]) -> type[Event]:
    for name in _REQUIRED:
        if not texts.get(name):
            raise DecodeError(f"the CloudEvents attribute {name[3:]} is missing")
    if texts["ce_specversion"] != SPECVERSION:
        raise DecodeError(f"CloudEvents specversion {texts['ce_specversion'][:20]} is not {SPECVERSION}")
    model = types.get(texts["ce_type"])
    if model is None:
        raise DecodeError(f"unknown event type {texts['ce_type'][:200]}")
    return model


def _envelope(texts: Mapping[str, str], data: Event) -> CloudEvent[Event]:
    try:
        return CloudEvent(
            id=UUID(texts["ce_id"]),
            source=texts["ce_source"],
            subject=UUID(texts["ce_subject"]),
            tenant_id=_tenant(texts["ce_tenantid"]),
            time=datetime.fromisoformat(texts["ce_time"]) if "ce_time" in texts else datetime.now(UTC),
            data=data,
            traceparent=texts.get("traceparent") or None,
        )
    except ValueError as error:
        raise DecodeError(f"a CloudEvents attribute is malformed: {error}") from error


# A handful of tenants write most events.
_tenant = lru_cache(maxsize=1024)(UUID)


def _words(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, item['loc'])) or 'data'}: {item['msg']}" for item in error.errors()[:5])
    return "the data does not fit its type: " + "; ".join(problems)
