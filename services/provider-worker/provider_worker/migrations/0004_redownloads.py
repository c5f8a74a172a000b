"""Requests to fetch what was paid for again."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# next_at is NULL once it is answered. A row stays for good: its key is what makes any repetition harmless.
_REDOWNLOADS = """
CREATE TABLE redownloads (
    job_id uuid NOT NULL,
    item int NOT NULL,
    request int NOT NULL,
    tenant_id uuid NOT NULL,
    traceparent text,
    asked_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz DEFAULT now(),
    tries int NOT NULL DEFAULT 0,
    answered_at timestamptz,
    evidence text,
    PRIMARY KEY (job_id, item, request)
)
"""

_INDEX = "CREATE INDEX redownloads_due ON redownloads (next_at) WHERE next_at IS NOT NULL"

# When the result of an attempt was last handed over again: its staged bytes are kept from then on.
_ATTEMPTS = "ALTER TABLE attempts ADD COLUMN fetched_at timestamptz"


def upgrade() -> None:
    for statement in (_REDOWNLOADS, _INDEX, _ATTEMPTS):
        op.execute(statement)
    enable_rls(op, "redownloads")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN fetched_at")
    op.execute("DROP TABLE redownloads")
