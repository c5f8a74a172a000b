"""CloudEvents 1.0 on Kafka: binary mode for writing, binary and structured mode for reading.

Binary mode puts the attributes into `ce_*` headers and the JSON data into the value (CloudEvents Kafka protocol
binding 1.0.2, section 3.2). The record's key is the subject: a job's id, or the aggregate's where there is no job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
        ("ce_time", event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        ("ce_subject", str(event.subject)),
        ("ce_tenantid", str(event.tenant_id)),
        ("content-type", JSON_CONTENT),
    ]
    if event.traceparent:
        headers.append(("traceparent", event.traceparent))
    return headers


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
    attributes = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    model = _model_of(attributes, types)
    try:
        data = model.model_validate_json(value)
    except ValidationError as error:
        raise DecodeError(_words(error), ours=True) from error
    return _envelope(attributes, data, texts.get("traceparent"))


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
    attributes = {name: text for name, text in body.items() if isinstance(text, str)}
    model = _model_of(attributes, types)
    try:
        data = model.model_validate_json(json.dumps(body.get("data")))
    except ValidationError as error:
        raise DecodeError(_words(error), ours=True) from error
    return _envelope(attributes, data, attributes.get("traceparent"))


def _model_of(attributes: Mapping[str, str], types: Mapping[str, type[Event]]) -> type[Event]:
    for name in ("specversion", "id", "type", "source", "subject", "tenantid"):
        if not attributes.get(name):
            raise DecodeError(f"the CloudEvents attribute {name} is missing")
    if attributes["specversion"] != SPECVERSION:
        raise DecodeError(f"CloudEvents specversion {attributes['specversion'][:20]} is not {SPECVERSION}")
    model = types.get(attributes["type"])
    if model is None:
        raise DecodeError(f"unknown event type {attributes['type'][:200]}")
    return model


def _envelope(attributes: Mapping[str, str], data: Event, traceparent: str | None) -> CloudEvent[Event]:
    try:
        return CloudEvent(
            id=UUID(attributes["id"]),
            source=attributes["source"],
            subject=UUID(attributes["subject"]),
            tenant_id=UUID(attributes["tenantid"]),
            time=datetime.fromisoformat(attributes["time"]) if "time" in attributes else datetime.now(UTC),
            data=data,
            traceparent=traceparent,
        )
    except ValueError as error:
        raise DecodeError(f"a CloudEvents attribute is malformed: {error}") from error


def _words(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, item['loc'])) or 'data'}: {item['msg']}" for item in error.errors()[:5])
    return "the data does not fit its type: " + "; ".join(problems)
