"""Every metric of the chassis, declared once. Labels never hold a tenant, a job or another unbounded value."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# Half as many series again, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# outcome: handled, duplicate (the inbox knew it), ignored (a type nobody here hears), dead (set aside)
CONSUMED = Counter(
    "backlot_consumer_records_total", "Records read from Kafka, by outcome", ["topic", "outcome"], registry=REGISTRY
)
BATCH_SECONDS = Histogram(
    "backlot_consumer_batch_seconds", "Time to handle one batch", ["topic"], buckets=_FAST, registry=REGISTRY
)
LAG = Gauge("backlot_consumer_lag", "Records written but not yet committed by this group", ["topic"], registry=REGISTRY)
BACKOFFS = Counter(
    "backlot_consumer_backoffs_total", "Batches put back because of a transient error", ["topic"], registry=REGISTRY
)
HALTED = Gauge(
    "backlot_consumer_halted", "1 while a consumer refuses to dead-letter any more", ["topic"], registry=REGISTRY
)
COMMIT_FAILURES = Counter(
    "backlot_consumer_commit_failures_total",
    "Offset commits that failed (redelivery follows)",
    ["topic"],
    registry=REGISTRY,
)
REBUILDS = Counter(
    "backlot_consumer_rebuilds_total",
    "Consumers rebuilt by the watchdog because they were deaf",
    ["topic"],
    registry=REGISTRY,
)

RELAY_SENT = Counter("backlot_relay_sent_total", "Outbox rows acknowledged by Kafka", registry=REGISTRY)
RELAY_PARKED = Counter("backlot_relay_parked_total", "Outbox rows Kafka can never take, set aside", registry=REGISTRY)
RELAY_FAILURES = Counter("backlot_relay_failures_total", "Relay rounds ended by an error", registry=REGISTRY)
RELAY_UNSENT_AGE = Gauge("backlot_relay_unsent_age_seconds", "Age of the oldest unsent outbox row", registry=REGISTRY)
RELAY_LEADER = Gauge("backlot_relay_leader", "1 in the process that sends for this database", registry=REGISTRY)

HTTP_SECONDS = Histogram(
    "backlot_http_request_seconds",
    "HTTP requests: rate and duration, by route and status",
    ["app", "method", "route", "status"],
    buckets=_FAST,
    registry=REGISTRY,
)
HTTP_IN_FLIGHT = Gauge("backlot_http_requests_in_flight", "HTTP requests being answered", ["app"], registry=REGISTRY)

LOOP_FAILURES = Counter(
    "backlot_loop_failures_total", "Rounds of a background loop that raised", ["loop"], registry=REGISTRY
)
DB_CONNECTIONS = Gauge(
    "backlot_db_connections", "Database connections of a pool, by state", ["pool", "state"], registry=REGISTRY
)
EVENT_LOOP_LAG = Gauge("backlot_event_loop_lag_seconds", "How late the event loop last ran a timer", registry=REGISTRY)

EXPOSITION_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition() -> bytes:
    """All metrics in Prometheus' text format 0.0.4."""
    return generate_latest(REGISTRY)
