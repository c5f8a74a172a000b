"""Templates of tenants with all their versions, and which of them jobs were prepared with."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0002"
down_revision = "0001"

# `body` is the text that `sha256` is of: jsonb would give it back in another order.
_TEMPLATE = """
CREATE TABLE template (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    sha256 text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (tenant_id, name, version)
)
"""

# A table of its own: whoever prepares jobs holds the template with a lock that others may share, and a column there
# could only be written with one that they may not.
_TEMPLATE_USE = """
CREATE TABLE template_use (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    job_id uuid NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name, version),
    FOREIGN KEY (tenant_id, name, version) REFERENCES template
)
"""


def upgrade() -> None:
    op.execute(_TEMPLATE)
    op.execute(_TEMPLATE_USE)
    for table in ("template", "template_use"):
        enable_rls(op, table)
