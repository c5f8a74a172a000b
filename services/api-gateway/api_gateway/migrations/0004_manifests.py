"""Manifests: jobs of many pictures of one project, of which one runs at a time."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    ALTER TABLE job
        ADD COLUMN channel text,
        ADD COLUMN project text,
        ADD COLUMN resume boolean,
        ADD COLUMN next_step text,
        ADD CHECK ((channel IS NULL) = (project IS NULL) AND (channel IS NULL) = (resume IS NULL))
    """,
    """
    CREATE UNIQUE INDEX job_manifest_running ON job (tenant_id, channel, project)
        WHERE channel IS NOT NULL AND completed_at IS NULL
    """,
    # Newest first, of the tenant and of one project; manifests are few among other jobs.
    "CREATE INDEX job_manifest ON job (tenant_id, id) WHERE channel IS NOT NULL",
    "CREATE INDEX job_manifest_of_project ON job (tenant_id, channel, project, id) WHERE channel IS NOT NULL",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)
