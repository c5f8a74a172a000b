"""This service's metrics."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from chassis.metrics import REGISTRY

# answered: by the language model; everything else is why the rules did it: timeout, wrong_answer, status_429, ...
COMPOSED = Counter(
    "backlot_manifests_composed_total", "Manifests a language model was asked for", ["reason"], registry=REGISTRY
)
COMPOSING_SECONDS = Histogram(
    "backlot_manifest_composing_seconds",
    "Time from claiming a story to its end or its postponement",
    buckets=(0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0),
    registry=REGISTRY,
)
