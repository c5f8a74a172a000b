"""Jobs whose items may be there already: planned once storage-service has said which."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A row goes with the transaction that writes its job's plan. next_at is also when a lease ends; epoch is the fencing
# token, and says how often the row was taken; failures are errors that nobody foresaw.
_PLANNINGS = """
CREATE TABLE plannings (
    job_id uuid PRIMARY KEY REFERENCES jobs,
    tenant_id uuid NOT NULL,
    prepared json NOT NULL,
    epoch int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    kept_at timestamptz NOT NULL DEFAULT now()
)
"""

_INDEX = "CREATE INDEX plannings_due ON plannings (next_at)"


def upgrade() -> None:
    op.execute(_PLANNINGS)
    op.execute(_INDEX)
    enable_rls(op, "plannings")


def downgrade() -> None:
    op.execute("DROP TABLE plannings")
