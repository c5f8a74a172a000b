"""How an asset's file says that a machine made it: of assets from before, and of uploads, nothing is known."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE assets ADD COLUMN marking json")


def downgrade() -> None:
    op.execute("ALTER TABLE assets DROP COLUMN marking")
