"""Every metric of the connector, declared once. No label holds a page or a job."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from chassis.metrics import REGISTRY

# answer: ok, throttled (429), away (no answer, 5xx, a conflict), refused (everything else)
REQUESTS = Counter("backlot_notion_requests_total", "Requests to Notion, by answer", ["answer"], registry=REGISTRY)
# answer: accepted, busy (another manifest runs there), declined (the page is told why), away (tried again), withdrawn
SUBMISSIONS = Counter(
    "backlot_notion_submissions_total", "Requests of pages, by the gateway's answer", ["answer"], registry=REGISTRY
)
GIVEN_UP = Counter(
    "backlot_notion_given_up_total", "Pages that Notion refused for too long, by its code", ["code"], registry=REGISTRY
)
SHOWN = Histogram(
    "backlot_notion_shown_seconds",
    "Time from what a page should show to Notion's answer that it does",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
    registry=REGISTRY,
)
