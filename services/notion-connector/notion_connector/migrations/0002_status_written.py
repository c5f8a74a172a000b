"""Which status of ours a page shows, so that it is written only where it changes."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null where it is not known: before the first write, from the moment a write of it is sent until it is answered,
    # and after a request, for then the status was its user's.
    op.execute("ALTER TABLE page ADD COLUMN status text")


def downgrade() -> None:
    op.execute("ALTER TABLE page DROP COLUMN status")
