"""This service's metrics."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from chassis.metrics import REGISTRY

STORED = Counter("backlot_assets_stored_total", "Assets stored", registry=REGISTRY)
STORED_BYTES = Counter("backlot_assets_stored_bytes_total", "Bytes of stored assets", registry=REGISTRY)
REFUSED = Counter("backlot_assets_refused_total", "Outputs that could not be kept", ["code"], registry=REGISTRY)
POSTPONED = Counter("backlot_assets_postponed_total", "Promotions that are tried again", registry=REGISTRY)
MENDED = Counter("backlot_blobs_mended_total", "Damaged blobs replaced by sound bytes", registry=REGISTRY)
BATCH = Histogram(
    "backlot_promotion_seconds",
    "Time from claiming a batch of arrivals to its commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "backlot_assets_unreadable_total", "Requests for bytes that are gone or damaged", ["kind"], registry=REGISTRY
)
SWEPT = Counter("backlot_blobs_swept_total", "Blobs deleted because nothing pointed at them", registry=REGISTRY)
UPLOADS = Counter(
    "backlot_uploads_total", "Uploads: stored, known already, or refused with a code", ["outcome"], registry=REGISTRY
)
UPLOADS_SWEPT = Counter("backlot_uploads_swept_total", "Interrupted uploads that were tidied up", registry=REGISTRY)
