"""Style capsules with all their versions, and which job each kit and capsule was used for."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0003"
down_revision = "0002"

_STYLE_CAPSULE = """
CREATE TABLE style_capsule (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
)
"""

# A version is never changed: jobs keep the one they were accepted with.
_STYLE_CAPSULE_VERSION = """
CREATE TABLE style_capsule_version (
    capsule_id uuid NOT NULL REFERENCES style_capsule (id),
    version integer NOT NULL,
    tenant_id uuid NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (capsule_id, version)
)
"""

# Of a kit or a capsule, whose ids are never the same. The key is the order in which uses are read.
_LOOK_USE = """
CREATE TABLE look_use (
    tenant_id uuid NOT NULL,
    look_id uuid NOT NULL,
    job_id uuid NOT NULL,
    version integer NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, look_id, job_id)
)
"""


def upgrade() -> None:
    op.execute(_STYLE_CAPSULE)
    op.execute(
        "CREATE INDEX style_capsule_of_tenant ON style_capsule (tenant_id, created_at DESC, id) "
        "WHERE deleted_at IS NULL"
    )
    op.execute(_STYLE_CAPSULE_VERSION)
    op.execute(_LOOK_USE)
    for table in ("style_capsule", "style_capsule_version", "look_use"):
        enable_rls(op, table)
