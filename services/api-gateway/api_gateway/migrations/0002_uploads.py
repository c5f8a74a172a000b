"""Assets that no job made."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE asset ALTER COLUMN job_id DROP NOT NULL, ADD COLUMN revision integer NOT NULL DEFAULT 1")
