"""The event contract: every example ever committed decodes, documents are in step, foreign records are told apart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import STRUCTURED_CONTENT, CloudEvent, DecodeError, decode, encode
from schemas.event import Event
from schemas.events import BY_TYPE, EVENTS, JobRequested
from schemas.examples import EXAMPLES, REQUESTER
from schemas.generate import GENERATED, asyncapi, documents, json_schema, main, out_of_step
from schemas.topics import OPERATORS, SERVICES, TOPICS

GOLDEN = sorted((GENERATED / "examples").glob("*/*.json"))


def record(path: Path) -> tuple[list[tuple[str, bytes | None]], bytes]:
    stored = json.loads(path.read_text("utf-8"))
    headers: list[tuple[str, bytes | None]] = [(name, text.encode()) for name, text in stored["headers"].items()]
    return headers, json.dumps(stored["value"]).encode()


def headers_of(event: CloudEvent[Event], **changes: bytes | None) -> list[tuple[str, bytes | None]]:
    found: dict[str, bytes | None] = dict(encode(event)[2])
    found.update(changes)
    return list(found.items())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_example_ever_committed_still_decodes(path: Path) -> None:
    headers, value = record(path)
    event = decode(headers, value, BY_TYPE)
    assert event.data.type == path.parent.name


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_an_event_comes_back_from_the_wire_as_it_was(event: type[Event]) -> None:
    sent = EXAMPLES[event.type]
    key, value, headers = encode(sent)
    assert decode(headers, value, BY_TYPE) == sent
    assert key.decode() == str(sent.subject)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_an_event_in_structured_mode_reads_the_same(event: type[Event]) -> None:
    sent = EXAMPLES[event.type]
    body = {
        "specversion": "1.0",
        "id": str(sent.id),
        "type": sent.data.type,
        "source": sent.source,
        "subject": str(sent.subject),
        "tenantid": str(sent.tenant_id),
        "time": sent.time.isoformat(),
        "traceparent": sent.traceparent,
        "datacontenttype": "application/json",
        "data": json.loads(sent.data.model_dump_json()),
    }
    headers: list[tuple[str, bytes | None]] = [("content-type", f"{STRUCTURED_CONTENT}; charset=utf-8".encode())]
    assert decode(headers, json.dumps(body).encode(), BY_TYPE) == sent


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_examples_fit_the_json_schema_of_their_event(event: type[Event]) -> None:
    value = json.loads(EXAMPLES[event.type].data.model_dump_json())
    jsonschema.validate(value, json_schema(event), cls=jsonschema.Draft202012Validator)


def test_consumers_ignore_fields_they_do_not_know() -> None:
    sent = EXAMPLES[JobRequested.type]
    value = json.loads(encode(sent)[1])
    value["from_the_future"] = {"a": 1}
    value["request"]["also_new"] = True
    assert decode(headers_of(sent), json.dumps(value).encode(), BY_TYPE).data == sent.data


@pytest.mark.parametrize(
    ("changes", "value", "reason", "ours"),
    [
        ({}, b"", "no value", False),
        ({}, None, "no value", False),
        ({}, b"not json", "does not fit", True),
        ({}, b"{}", "job_id", True),
        ({"ce_type": None}, b"{}", "ce_type is null", False),
        ({"ce_id": b"\xff\xfe"}, b"{}", "ce_id is not UTF-8", False),
        ({"ce_type": b"com.example.other"}, b"{}", "unknown event type", False),
        ({"ce_specversion": b"0.3"}, b"{}", "specversion 0.3", False),
        ({"ce_subject": b""}, b"{}", "subject is missing", False),
    ],
)
def test_a_record_that_is_not_ours_is_refused_in_words(
    changes: dict[str, bytes | None], value: bytes | None, reason: str, ours: bool
) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        decode(headers_of(EXAMPLES[JobRequested.type], **changes), value, BY_TYPE)
    assert caught.value.ours is ours


@pytest.mark.parametrize("name", ["ce_id", "ce_subject", "ce_tenantid", "ce_time"])
def test_a_malformed_attribute_is_refused_in_words(name: str) -> None:
    sent = EXAMPLES[JobRequested.type]
    with pytest.raises(DecodeError, match="malformed"):
        decode(headers_of(sent, **{name: b"nonsense"}), encode(sent)[1], BY_TYPE)


def test_null_and_binary_headers_of_others_do_no_harm() -> None:
    sent = EXAMPLES[JobRequested.type]
    headers = [*headers_of(sent), ("x-null", None), ("x-binary", b"\xff\x00")]
    assert decode(headers, encode(sent)[1], BY_TYPE) == sent


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["ce_type", "ce_id", "content-type", "x"]), st.none() | st.binary(max_size=40))),
    st.none() | st.binary(max_size=200),
)
def test_whatever_comes_is_an_event_or_a_decode_error(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    with pytest.raises(DecodeError):
        decode(headers, value, BY_TYPE)


def test_generated_documents_are_in_step() -> None:
    assert out_of_step() == []
    assert main(["--check"]) == 0


def test_a_document_changed_by_hand_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("schemas.generate.GENERATED", tmp_path)
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert out_of_step() == []
    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 3.0.0\n", "utf-8")
    assert out_of_step() == [tmp_path / "asyncapi.yaml"]


def test_every_event_belongs_to_a_topic_and_is_versioned() -> None:
    for event in EVENTS:
        assert event.topic in TOPICS
        assert event.type.startswith("dev.backlot.")
        assert event.type.rsplit(".", 1)[1] == "v1"
    assert len(BY_TYPE) == len(EVENTS)


def test_every_topic_has_an_owner_and_somebody_who_hears_it() -> None:
    for topic in TOPICS.values():
        assert topic.heard_by
        assert topic.owner in {*SERVICES, REQUESTER.source, "other platforms", OPERATORS}


def test_asyncapi_names_only_messages_and_channels_that_exist() -> None:
    document = yaml.safe_load((GENERATED / "asyncapi.yaml").read_text("utf-8"))
    assert document == asyncapi()
    for channel in document["channels"].values():
        for reference in channel["messages"].values():
            assert reference["$ref"].rsplit("/", 1)[1] in document["components"]["messages"]
    references = re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document))
    assert set(references) <= set(document["components"]["schemas"])
    assert {event.__name__ for event in EVENTS} <= set(references)


def test_public_results_carry_no_prompt() -> None:
    for event in EVENTS:
        if event.topic == "backlot.job-results":
            assert "prompt" not in json.dumps(json_schema(event)).lower()


def test_ids_of_examples_are_uuids_of_version_7() -> None:
    for event in EXAMPLES.values():
        assert UUID(str(event.id)).version == 7
