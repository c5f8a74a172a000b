"""Write the documents made from the models: AsyncAPI 3, JSON Schema, golden examples.

`python -m schemas.generate` writes them into `schemas/generated`; `--check` says what is out of step and exits 1.
Golden examples are only ever added: when a model changes what its example looks like, the new one stands beside all
earlier ones, and a test decodes every one of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from schemas.cloudevents import encode
from schemas.event import Event
from schemas.events import EVENTS
from schemas.examples import EXAMPLES
from schemas.topics import SERVICES, TOPICS, Topic

GENERATED = Path(__file__).parent / "generated"
HEADER_TEXT = {"type": "string"}
HEADERS = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_tenantid", "content-type"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "UUIDv7; consumers deduplicate by it"},
        "ce_type": HEADER_TEXT,
        "ce_source": HEADER_TEXT,
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "format": "uuid", "description": "the record's key"},
        "ce_tenantid": {"type": "string", "format": "uuid"},
        "content-type": {"const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C trace context"},
    },
}


def json_schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema of one event's data."""
    schema = event.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": event.type, **schema}


def golden(event: type[Event]) -> dict[str, Any]:
    """The example of `event` as a Kafka record in binary mode."""
    key, value, headers = encode(EXAMPLES[event.type])
    return {
        "key": key.decode(),
        "headers": {name: text.decode() for name, text in headers},
        "value": json.loads(value),
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of all topics, messages and who sends and receives them."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Backlot events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in binary mode on Kafka. Other platforms use backlot.job-requests and "
            "backlot.job-results; the other topics are internal.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": dict(_operations()),
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS},
            "schemas": _schemas(),
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [event.__name__ for event in EVENTS if event.topic == topic.name]
    return {
        "address": topic.name,
        "title": topic.says,
        "description": f"Owner: {topic.owner}. Key: {topic.key}. Heard by: {', '.join(topic.heard_by)}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in TOPICS.values():
        channel = {"$ref": f"#/channels/{topic.name}"}
        for service in SERVICES:
            if topic.owner == service:
                yield f"{service}.sends.{topic.name}", {"action": "send", "channel": channel}
            if service in topic.heard_by:
                yield f"{service}.receives.{topic.name}", {"action": "receive", "channel": channel}


def _message(event: type[Event]) -> dict[str, Any]:
    record = golden(event)
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "headers": HEADERS,
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "examples": [{"headers": record["headers"], "payload": record["value"]}],
    }


def _schemas() -> dict[str, Any]:
    """The schema of every event and of every part, one place each, so that the document stands alone."""
    found: dict[str, Any] = {}
    for event in EVENTS:
        schema = event.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        found.update(schema.pop("$defs", {}))
        found[event.__name__] = schema
    return dict(sorted(found.items()))


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def documents() -> dict[Path, str]:
    """Every generated file and its text, golden examples included (a new number only where the example changed)."""
    plain = yaml.dump(asyncapi(), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    files = {GENERATED / "asyncapi.yaml": plain}
    for event in EVENTS:
        files[GENERATED / "jsonschema" / f"{event.type}.json"] = _pretty(json_schema(event))
        folder = GENERATED / "examples" / event.type
        text = _pretty(golden(event))
        numbers = sorted(int(path.stem) for path in folder.glob("*.json"))
        newest = numbers[-1] if numbers else 0
        same = newest > 0 and (folder / f"{newest}.json").read_text("utf-8") == text
        files[folder / f"{newest if same else newest + 1}.json"] = text
    return files


def out_of_step() -> list[Path]:
    """Generated files that are missing, changed by hand, or no longer made by anything."""
    wanted = documents()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    schemas = set((GENERATED / "jsonschema").glob("*.json")) - set(wanted)
    return sorted([*stale, *schemas])


def main(arguments: list[str]) -> int:
    """Write the documents, or with `--check` only compare them."""
    if "--check" in arguments:
        stale = out_of_step()
        for path in stale:
            sys.stderr.write(f"{path.relative_to(GENERATED.parent.parent)} is out of step with the models\n")
        if stale:
            sys.stderr.write("run `make contracts` and commit what it writes\n")
        return 1 if stale else 0
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
