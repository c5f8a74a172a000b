"""Every metric of this service, declared once. Amounts are micro-units of USD; no label holds a tenant or a job."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from chassis.metrics import REGISTRY

# answer: reserved, budget (refused by the tenant's budget), max_cost (refused by the job's own limit)
QUOTES = Counter("backlot_ledger_quotes_total", "Quotes answered, by answer", ["answer"], registry=REGISTRY)
CAPTURED = Counter("backlot_ledger_captured_micros_total", "Captured since start", ["provider"], registry=REGISTRY)
EXCESS = Counter(
    "backlot_ledger_excess_micros_total",
    "Billed beyond a hold since start: ours to pay, and a price table to mend",
    ["provider"],
    registry=REGISTRY,
)
CONTRADICTIONS = Counter(
    "backlot_ledger_contradictions_total", "Second bills of another amount, not applied", registry=REGISTRY
)

# state: open (no bill yet), pending (the bill is being looked for)
HOLDS = Gauge("backlot_ledger_holds", "Holds that are not closed, by state", ["state"], registry=REGISTRY)
OLDEST_HOLD = Gauge("backlot_ledger_oldest_hold_seconds", "Age of the oldest open hold", registry=REGISTRY)
BALANCE = Gauge("backlot_ledger_balance_micros", "Balance of all accounts of a kind", ["account"], registry=REGISTRY)
DIFFERENCES = Gauge(
    "backlot_ledger_differences",
    "Tenants whose budget, holds and accounts disagree: anything but zero is a fault",
    registry=REGISTRY,
)
RECONCILED = Gauge("backlot_ledger_reconciled_tenants", "Tenants compared in the last round", registry=REGISTRY)
