"""The versions behind a logical name are found by it."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX assets_named ON assets (tenant_id, path, version) WHERE deleted_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX assets_named")
