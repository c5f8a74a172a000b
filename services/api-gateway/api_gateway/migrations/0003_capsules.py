"""Known style capsules, and the one each job was accepted with."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STYLE_CAPSULE = """
CREATE TABLE style_capsule (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    version integer NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id)
)
"""


def upgrade() -> None:
    op.execute(_STYLE_CAPSULE)
    op.execute("ALTER TABLE job ADD COLUMN style_capsule_id uuid, ADD COLUMN style_capsule_version integer")
    enable_rls(op, "style_capsule")
