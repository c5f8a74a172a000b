"""Brand kits with all their versions, and what every job was told."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None

_BRAND_KIT = """
CREATE TABLE brand_kit (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
)
"""

# A version is never changed: jobs keep the one they were accepted with.
_BRAND_KIT_VERSION = """
CREATE TABLE brand_kit_version (
    kit_id uuid NOT NULL REFERENCES brand_kit (id),
    version integer NOT NULL,
    tenant_id uuid NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kit_id, version)
)
"""

# `told` is what was said of the job, kept so that a retry can say the same prompts again. `requested` is the event of a
# job that waits for its kit.
_JOB = """
CREATE TABLE job (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('prepared', 'rejected', 'waiting', 'cancelled', 'timed_out')),
    told text,
    requested text,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    create_chassis_tables(op)
    op.execute(_BRAND_KIT)
    op.execute(
        "CREATE INDEX brand_kit_of_tenant ON brand_kit (tenant_id, created_at DESC, id) WHERE deleted_at IS NULL"
    )
    op.execute(_BRAND_KIT_VERSION)
    op.execute(_JOB)
    op.execute("CREATE INDEX job_waiting ON job (created_at) WHERE state = 'waiting'")
    for table in ("brand_kit", "brand_kit_version", "job"):
        enable_rls(op, table)
