"""Uploads that are under way. What becomes of one is an asset without a job: its key is the upload's id, item 0."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# sha256 is known once all bytes are there. A user uploads the same bytes once at a time: whoever comes second waits for
# the asset of the first.
_UPLOADS = """
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    sha256 text,
    begun_at timestamptz NOT NULL DEFAULT now()
)
"""

_INDEXES = (
    "CREATE UNIQUE INDEX uploads_at_once ON uploads (tenant_id, user_id, sha256) WHERE sha256 IS NOT NULL",
    "CREATE INDEX uploads_begun ON uploads (begun_at)",
)


def upgrade() -> None:
    for statement in (_UPLOADS, *_INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE uploads")
