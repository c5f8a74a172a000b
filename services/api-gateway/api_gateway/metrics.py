"""What the gateway counts. Labels never hold a tenant, a job or another unbounded value."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from chassis.metrics import REGISTRY

ACCEPTED = Counter("backlot_gateway_jobs_accepted_total", "Jobs made of requests", registry=REGISTRY)
REPEATED = Counter("backlot_gateway_jobs_repeated_total", "Requests answered with the job they had", registry=REGISTRY)
ENDED = Counter(
    "backlot_gateway_jobs_ended_total",
    "Jobs that reached a terminal state, with the code of their error",
    ["kind", "status", "code"],
    registry=REGISTRY,
)
JOB_SECONDS = Histogram(
    "backlot_gateway_job_seconds",
    "From acceptance to the terminal state",
    ["kind", "status"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    registry=REGISTRY,
)
REQUESTED_AGAIN = Counter(
    "backlot_gateway_jobs_requested_again_total", "Jobs nobody had answered, said once more", registry=REGISTRY
)
DEADLINES = Counter("backlot_gateway_deadlines_total", "Jobs asked to stop by their deadline", registry=REGISTRY)
GIVEN_UP = Counter(
    "backlot_gateway_given_up_total", "Jobs sealed because no answer came to a request to stop", registry=REGISTRY
)
CONTRADICTED = Counter(
    "backlot_gateway_contradicted_total", "Facts that would have changed a sealed verdict", registry=REGISTRY
)
CALLBACKS = Counter(
    "backlot_gateway_callbacks_total", "Callbacks of providers that were passed on", ["provider"], registry=REGISTRY
)
WAITING = Gauge("backlot_gateway_requests_waiting", "Requests held until their job changes", registry=REGISTRY)
WEBHOOK_DELIVERIES = Counter(
    "backlot_gateway_webhook_deliveries_total",
    "Attempts to tell a webhook by what came of them: delivered, retried, given_up",
    ["outcome"],
    registry=REGISTRY,
)
OLDEST_WEBHOOK = Gauge(
    "backlot_gateway_webhook_oldest_seconds", "Age of the oldest delivery that is pending", registry=REGISTRY
)
WEBHOOKS_SWEPT = Counter(
    "backlot_gateway_webhook_deliveries_swept_total", "Deliveries deleted long after their end", registry=REGISTRY
)
