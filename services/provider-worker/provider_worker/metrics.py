"""What the worker counts. Labels are bounded: no tenant, no job."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from chassis.metrics import REGISTRY
from schemas.parts import Billing, Kind

ATTEMPTS = Counter(
    "backlot_worker_attempts_total",
    "Attempts by how they ended (completed, failed, cancelled) and why",
    ["provider", "kind", "outcome", "code"],
    registry=REGISTRY,
)
ATTEMPT_SECONDS = Histogram(
    "backlot_worker_attempt_seconds",
    "From the submit intent of an attempt's last call to the attempt's end, provider included",
    ["provider", "kind", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600),
    registry=REGISTRY,
)
RETRIES = Counter(
    "backlot_worker_retries_total",
    "Calls made once more, by the provider and the error before, and how: again, elsewhere, or as a paid remake",
    ["provider", "kind", "code", "how"],
    registry=REGISTRY,
)
BILLED = Counter(
    "backlot_worker_billed_micros_total",
    "What attempts cost, in millionths of the currency of the prices, by who says so",
    ["provider", "kind", "basis"],
    registry=REGISTRY,
)
CLAIMED = Counter("backlot_worker_claimed_total", "Tasks claimed", registry=REGISTRY)
IN_FLIGHT = Gauge("backlot_worker_in_flight", "Tasks this process holds", registry=REGISTRY)
FENCED = Counter("backlot_worker_fenced_writes_total", "Steps refused because the lease was lost", registry=REGISTRY)
EXPIRED = Counter("backlot_worker_expired_leases_total", "Leases that ran out and were taken back", registry=REGISTRY)
ASKED_AGAIN = Counter("backlot_worker_quotes_asked_again_total", "Unanswered quotes said again", registry=REGISTRY)
SETTLED = Counter("backlot_worker_bills_settled_total", "Open bills that were settled", ["state"], registry=REGISTRY)
REDOWNLOADS = Counter(
    "backlot_worker_redownloads_total",
    "Answered requests to fetch a paid result again (fetched, not_had), and those of which no paid attempt is known",
    ["outcome"],
    registry=REGISTRY,
)
RESUMED = Counter(
    "backlot_worker_resumed_total",
    "Jobs of which it was asked what is there, by what became of them: planned, cancelled, refused",
    ["outcome"],
    registry=REGISTRY,
)
SKIPPED = Counter("backlot_worker_skipped_total", "Items that were there already and are not made", registry=REGISTRY)
PRESENCE_UNANSWERED = Counter(
    "backlot_worker_presence_unanswered_total",
    "Questions what is there that storage-service did not answer; they are asked again",
    registry=REGISTRY,
)
SWEPT = Counter("backlot_worker_staged_swept_total", "Staged objects deleted after their time", registry=REGISTRY)
OPEN_BILLS = Gauge(
    "backlot_worker_open_bills",
    "Attempts of which nobody knows yet what they cost, by why, and whether only an operator can find out",
    ["provider", "code", "needs_operator"],
    registry=REGISTRY,
)
OLDEST_BILL = Gauge("backlot_worker_oldest_open_bill_seconds", "Age of the oldest open bill", registry=REGISTRY)
BREAKER_OPEN = Gauge(
    "backlot_worker_breaker_open", "1 while nothing is sent to the provider", ["provider"], registry=REGISTRY
)
CALLBACKS = Counter(
    "backlot_worker_callbacks_total",
    "Callbacks of providers that were believed, with what became of them; unsigned ones are believed as hints",
    ["provider", "signature", "outcome"],
    registry=REGISTRY,
)
CALLBACKS_REFUSED = Counter(
    "backlot_worker_callbacks_refused_total",
    "Callbacks that were not to be believed, and why; they changed nothing",
    ["provider", "reason"],
    registry=REGISTRY,
)
CALLBACKS_SWEPT = Counter(
    "backlot_worker_callbacks_swept_total", "Callbacks deleted after their time", registry=REGISTRY
)
UNFORESEEN = Counter(
    "backlot_worker_unforeseen_errors_total",
    "Looks at a bill, redownload, callback or planning that an error nobody foresaw broke off; they are made again",
    ["of"],
    registry=REGISTRY,
)
STORE_AWAY = Gauge("backlot_worker_object_store_away", "1 while nothing is claimed for want of it", registry=REGISTRY)


def billed(provider: str, kind: Kind, billing: Billing) -> None:
    """Counts a bill that is final."""
    if billing.state == "final" and billing.amount_micros:
        BILLED.labels(provider, kind, billing.basis).inc(billing.amount_micros)
