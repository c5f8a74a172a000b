"""W3C trace context across HTTP, outbox and Kafka.

With an OTLP endpoint spans are made and exported (sampling is the SDK's, parent-based; `OTEL_TRACES_SAMPLER` changes
it). Without one no span is ever made, but the `traceparent` of whoever asked still travels with every event, so that
logs of all services share a trace id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import replace
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from schemas.cloudevents import CloudEvent
from schemas.event import Event

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_NOTHING = "0" * 32

Attributes = Mapping[str, str | int | float | bool]


class _State:
    provider: TracerProvider | None = None
    tracer: trace.Tracer | None = None


_passed_on: ContextVar[str | None] = ContextVar("traceparent", default=None)


def setup_tracing(service: str, endpoint: str | None, *, processor: SpanProcessor | None = None) -> None:
    """Exports spans to the OTLP/HTTP collector at `endpoint` (or to `processor`); with neither, no span is made."""
    shutdown_tracing()
    if endpoint is None and processor is None:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(processor or _exporting(str(endpoint)))
    _State.provider = provider
    _State.tracer = provider.get_tracer("chassis")


def _exporting(endpoint: str) -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - costs start-up time
        OTLPSpanExporter,
    )

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces"))


def shutdown_tracing() -> None:
    """Sends what is buffered and stops. Blocks for as long as the collector takes: call it from a thread."""
    provider, _State.provider, _State.tracer = _State.provider, None, None
    if provider is not None:
        provider.shutdown()


def tracing_enabled() -> bool:
    """Whether spans are made at all."""
    return _State.tracer is not None


def parse_traceparent(text: str | None) -> SpanContext | None:
    """The remote parent in a `traceparent`, or None when there is none or it is not one (W3C Trace Context, 3.2)."""
    match = _TRACEPARENT.match(text) if text else None
    if match is None or match[1] == _NOTHING or match[2] == "0" * 16 or (text or "").startswith("ff"):
        return None
    return SpanContext(int(match[1], 16), int(match[2], 16), True, TraceFlags(int(match[3], 16) & 1))


def format_traceparent(context: SpanContext) -> str:
    """`context` as a `traceparent` header of version 00."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def new_traceparent() -> str:
    """A fresh, unsampled trace for a request that came without one."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"


def current_traceparent() -> str | None:
    """The trace context to hand on: the current span's, else the one the request or event came with."""
    if _State.tracer is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return format_traceparent(context)
    return _passed_on.get()


def current_trace_id() -> str | None:
    """The 32 hex digits logs and spans are joined by."""
    traceparent = current_traceparent()
    return traceparent[3:35] if traceparent else None


def pass_on(traceparent: str | None) -> Token[str | None]:
    """Makes `traceparent` the context of what this task does next; `stop_passing_on` ends it."""
    return _passed_on.set(traceparent)


def stop_passing_on(token: Token[str | None]) -> None:
    """Ends what `pass_on` began."""
    _passed_on.reset(token)


def _parent(traceparent: str | None) -> Context | None:
    parent = parse_traceparent(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else None


@contextmanager
def span(
    name: str,
    *,
    traceparent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """A span around a piece of work, child of `traceparent` or else of the current span; an exception marks it failed.

    Without tracing it costs a context variable and passes `traceparent` on.
    """
    tracer = _State.tracer
    if tracer is None:
        token = _passed_on.set(traceparent) if traceparent else None
        try:
            yield trace.INVALID_SPAN
        finally:
            if token is not None:
                _passed_on.reset(token)
        return
    with tracer.start_as_current_span(name, context=_parent(traceparent), kind=kind, attributes=attributes) as active:
        yield active


class ConsumeSpans:
    """One CONSUMER span per sampled event of a batch, open while the batch's transaction runs.

    `entered` are the events to hand to the handler: a sampled event carries its span as `traceparent`, so that what
    the handler emits because of it becomes that span's child; the others carry on what they came with.
    """

    def __init__(self, topic: str, events: Sequence[CloudEvent[Event]]) -> None:
        self._spans: list[Span] = []
        self.entered = list(events) if _State.tracer is None else [self._enter(topic, event) for event in events]

    def _enter(self, topic: str, event: CloudEvent[Event]) -> CloudEvent[Event]:
        parent = parse_traceparent(event.traceparent)
        tracer = _State.tracer
        if tracer is None or parent is None or not parent.trace_flags.sampled:
            return event
        opened = tracer.start_span(
            f"process {topic}",
            context=trace.set_span_in_context(NonRecordingSpan(parent), Context()),
            kind=SpanKind.CONSUMER,
            attributes=_messaging_attributes(topic, event),
        )
        self._spans.append(opened)
        return replace(event, traceparent=format_traceparent(opened.get_span_context()))

    def close(self, error: BaseException | None = None) -> None:
        """Ends the spans; with `error` they are marked as failed."""
        for opened in self._spans:
            if error is not None:
                opened.record_exception(error)
                opened.set_status(StatusCode.ERROR, type(error).__name__)
            opened.end()
        self._spans = []


def _messaging_attributes(topic: str, event: CloudEvent[Event]) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.type": "process",
        "messaging.message.id": str(event.id),
        "cloudevents.event_type": event.data.type,
        "backlot.subject": str(event.subject),
        "backlot.tenant_id": str(event.tenant_id),
    }
