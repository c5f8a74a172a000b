"""JSON logs on standard output: one object a line, secrets masked, prompts cut."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from chassis.tracing import current_trace_id
from schemas.cloudevents import CloudEvent
from schemas.event import Event

PROMPT_CHARACTERS = 100
MASK = "***"

_SECRET_NAME = re.compile(r"key|secret|token|password|authorization|cookie", re.IGNORECASE)
_API_KEY = re.compile(r"bk_[A-Za-z0-9_\-]{4,}")
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^@/\s]+@")
_BEARER = re.compile(r"(?i)\bbearer\s+\S+")
_NOISY = ("aiokafka", "faststream", "httpx", "httpcore", "uvicorn", "alembic", "asyncio")


def get_logger() -> FilteringBoundLogger:
    """The logger of a module: `log = get_logger()`; event names are snake_case, facts are keywords."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def configure_logging(service: str, level: str = "INFO") -> None:
    """Sends structlog and standard logging to standard output as JSON with `service`, `level`, `ts` and `event`."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _named(service),
        _add_trace_id,
    ]
    tail: list[Processor] = [structlog.processors.format_exc_info, protect, _render()]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(number, shared, tail)


def _route_standard_logging(level: int, shared: list[Processor], tail: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _named(service: str) -> Processor:
    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return add_service


def _add_trace_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if "trace_id" not in event and (trace_id := current_trace_id()):
        event["trace_id"] = trace_id
    return event


def _render() -> Processor:
    return structlog.processors.JSONRenderer(default=str, ensure_ascii=False)


def protect(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Masks secrets by name and by shape, cuts prompts to 100 characters."""
    return {name: _protected(name, value) for name, value in event.items()}


def _protected(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(inner): _protected(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_protected(name, item) for item in value]
    if _SECRET_NAME.search(name) and value is not None:
        return MASK
    if isinstance(value, str):
        text = mask_text(value)
        return _cut(text) if "prompt" in name else text
    return value


def mask_text(text: str) -> str:
    """`text` without API keys, bearer tokens and passwords in URLs."""
    text = _API_KEY.sub("bk_" + MASK, text)
    text = _BEARER.sub("Bearer " + MASK, text)
    return _URL_PASSWORD.sub(r"\1" + MASK + "@", text)


def _cut(text: str) -> str:
    return text if len(text) <= PROMPT_CHARACTERS else text[:PROMPT_CHARACTERS] + "…"


def event_context(event: CloudEvent[Event]) -> dict[str, str]:
    """What every log line about an event carries: job id, tenant, trace id, event id and type."""
    context = {
        "job_id": str(event.subject),
        "tenant": str(event.tenant_id),
        "event_id": str(event.id),
        "event_type": event.data.type,
    }
    if event.traceparent:
        context["trace_id"] = event.traceparent[3:35]
    return context


def bind_event(event: CloudEvent[Event]) -> FilteringBoundLogger:
    """A logger whose lines carry `event_context(event)`."""
    logger: FilteringBoundLogger = get_logger().bind(**event_context(event))
    return logger
