"""Logs and traces."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import tracing
from chassis.telemetry import bind_event, configure_logging, get_logger
from chassis.testing import event_of
from schemas.event import Event

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


class Traced(Event):
    type: ClassVar[str] = "dev.backlot.test.traced.v1"
    topic: ClassVar[str] = "test.traced"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.setup_tracing("test", None, processor=SimpleSpanProcessor(exporter))
    yield exporter
    tracing.shutdown_tracing()


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return line


def test_a_log_line_is_one_json_object_with_service_level_time_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    get_logger().info("sold", pieces=3)
    line = last_line(capsys)
    assert line["event"] == "sold"
    assert line["pieces"] == 3
    assert line["service"] == "shop"
    assert line["level"] == "info"
    assert line["ts"].endswith("Z")


def test_secrets_are_masked_by_name_and_by_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    get_logger().info(
        "leaky",
        api_key="plain",
        headers={"Authorization": "Bearer abc", "accept": "*/*"},
        said=["use bk_live_12345678 or postgresql://me:hush@db/shop"],
    )
    line = last_line(capsys)
    assert line["api_key"] == "***"
    assert line["headers"] == {"Authorization": "***", "accept": "*/*"}
    assert line["said"] == ["use bk_*** or postgresql://me:***@db/shop"]


def test_a_secret_in_an_exception_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    try:
        raise ValueError("refused bk_live_12345678")
    except ValueError as error:
        get_logger().error("failed", exc_info=error)
    line = last_line(capsys)
    assert "ValueError: refused bk_***" in line["exception"]
    assert "12345678" not in json.dumps(line)


def test_prompts_are_cut_to_100_characters(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    get_logger().info("asked", prompt="x" * 500, request={"negative_prompt": "y" * 101}, note="z" * 500)
    line = last_line(capsys)
    assert line["prompt"] == "x" * 100 + "…"
    assert line["request"]["negative_prompt"] == "y" * 100 + "…"
    assert line["note"] == "z" * 500


def test_a_line_about_an_event_says_job_tenant_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    event = event_of(Traced(), traceparent=SAMPLED)
    bind_event(event).info("heard")
    line = last_line(capsys)
    assert line["job_id"] == str(event.subject)
    assert line["tenant"] == str(event.tenant_id)
    assert line["trace_id"] == TRACE


def test_other_libraries_log_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop")
    logging.getLogger("some.library").warning("low on %s", "paper")
    line = last_line(capsys)
    assert line["event"] == "low on paper"
    assert line["logger"] == "some.library"
    assert line["service"] == "shop"


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("shop", "WARNING")
    get_logger().info("whisper")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text",
    [None, "", "garbage", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff-{TRACE}-b7ad6b7169203331-01", SAMPLED + "-more"],
)
def test_what_is_no_traceparent_is_no_parent(text: str | None) -> None:
    assert tracing.parse_traceparent(text) is None


def test_without_tracing_the_callers_context_is_handed_on() -> None:
    with tracing.span("work", traceparent=UNSAMPLED):
        assert tracing.current_traceparent() == UNSAMPLED
        assert tracing.current_trace_id() == TRACE
    assert tracing.current_traceparent() is None


def test_a_sampled_parent_gets_a_child_span_and_hands_it_on(spans: InMemorySpanExporter) -> None:
    with tracing.span("work", traceparent=SAMPLED):
        handed_on = tracing.current_traceparent()
    (made,) = spans.get_finished_spans()
    assert made.context is not None
    assert made.parent is not None
    assert f"{made.context.trace_id:032x}" == TRACE
    assert f"{made.parent.span_id:016x}" == "b7ad6b7169203331"
    assert handed_on == f"00-{TRACE}-{made.context.span_id:016x}-01"


def test_an_unsampled_parent_makes_no_span_and_stays_unsampled(spans: InMemorySpanExporter) -> None:
    with tracing.span("work", traceparent=UNSAMPLED):
        handed_on = tracing.current_traceparent()
    assert spans.get_finished_spans() == ()
    assert handed_on is not None
    assert handed_on.startswith(f"00-{TRACE}-")
    assert handed_on.endswith("-00")


def test_each_sampled_event_of_a_batch_is_processed_in_its_own_trace(spans: InMemorySpanExporter) -> None:
    other = "00-11111111111111111111111111111111-2222222222222222-01"
    events = [event_of(Traced(), traceparent=context) for context in (SAMPLED, UNSAMPLED, None, other)]
    batch = tracing.ConsumeSpans("test.traced", events)
    first, second, third, fourth = batch.entered
    batch.close()
    made = spans.get_finished_spans()
    assert [span.kind for span in made] == [SpanKind.CONSUMER, SpanKind.CONSUMER]
    assert made[0].context is not None
    assert first.traceparent == f"00-{TRACE}-{made[0].context.span_id:016x}-01"
    assert second.traceparent == UNSAMPLED
    assert third.traceparent is None
    assert (fourth.traceparent or "").startswith("00-" + "1" * 32)


def test_a_failed_batch_marks_its_spans(spans: InMemorySpanExporter) -> None:
    batch = tracing.ConsumeSpans("test.traced", [event_of(Traced(), traceparent=SAMPLED)])
    batch.close(ValueError("broken"))
    (made,) = spans.get_finished_spans()
    assert not made.status.is_ok
    assert made.events[0].name == "exception"
