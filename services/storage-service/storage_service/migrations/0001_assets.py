"""Arrivals, blobs, assets and the aliases that point at them."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What the worker handed over. A row stays for good: its key is what makes any repetition harmless. due_at is when a
# waiting one may be claimed: at once, after a failure, or when the lease of whoever claimed it has run out; epoch is
# the fencing token of that lease.
_ARRIVALS = """
CREATE TABLE arrivals (
    job_id uuid NOT NULL,
    item int NOT NULL,
    attempt int NOT NULL,
    output int NOT NULL,
    tenant_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    sha256 text NOT NULL,
    size bigint NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'stored', 'failed')),
    due_at timestamptz NOT NULL DEFAULT now(),
    epoch int NOT NULL DEFAULT 0,
    tries int NOT NULL DEFAULT 0,
    handover json,
    traceparent text,
    reason text,
    arrived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, item, attempt, output)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000
)
"""

# Bytes, once per tenant and hash. unused_since: no asset uses them any more; doomed_until: a sweeper is deleting them,
# and nothing may be promoted onto them meanwhile.
_BLOBS = """
CREATE TABLE blobs (
    tenant_id uuid NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL CHECK (size > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    unused_since timestamptz,
    doomed_until timestamptz,
    PRIMARY KEY (tenant_id, sha256)
)
"""

_ASSETS = """
CREATE TABLE assets (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    job_id uuid NOT NULL,
    item int NOT NULL,
    attempt int NOT NULL,
    output int NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    asset_type text,
    path text NOT NULL,
    version int NOT NULL CHECK (version >= 1),
    sha256 text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    mime text NOT NULL,
    width int,
    height int,
    duration_seconds double precision,
    is_public boolean NOT NULL,
    late boolean NOT NULL,
    revision int NOT NULL DEFAULT 1 CHECK (revision >= 1),
    content_sha256 text NOT NULL,
    context json NOT NULL,
    lineage json,
    flags json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    UNIQUE (job_id, item, attempt, output)
)
"""

# A logical name and the newest asset behind it; none when every one of them was deleted.
_ALIASES = """
CREATE TABLE aliases (
    tenant_id uuid NOT NULL,
    path text NOT NULL,
    version int NOT NULL CHECK (version >= 1),
    asset_id uuid,
    job_id uuid NOT NULL,
    item int NOT NULL,
    output int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, path)
)
"""

# due_at is in no index, so that a lease touches none.
_INDEXES = (
    "CREATE INDEX arrivals_waiting ON arrivals (arrived_at) WHERE state = 'waiting'",
    "CREATE INDEX blobs_unused ON blobs (unused_since) WHERE unused_since IS NOT NULL",
    "CREATE INDEX blobs_doomed ON blobs (tenant_id, sha256) WHERE doomed_until IS NOT NULL",
    "CREATE INDEX assets_listed ON assets (tenant_id, id) WHERE deleted_at IS NULL",
    "CREATE INDEX assets_bytes ON assets (tenant_id, sha256) WHERE deleted_at IS NULL",
)


def upgrade() -> None:
    create_chassis_tables(op)
    for statement in (_ARRIVALS, _BLOBS, _ASSETS, _ALIASES, *_INDEXES):
        op.execute(statement)
    for table in ("blobs", "assets", "aliases"):
        enable_rls(op, table)


def downgrade() -> None:
    for table in ("aliases", "assets", "blobs", "arrivals", "outbox_dead", "outbox_published", "outbox", "inbox"):
        op.execute(f"DROP TABLE {table} CASCADE")
