"""Manifests that wait for a language model: leased rows."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE job DROP CONSTRAINT job_state_check")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT job_state_check CHECK "
        "(state IN ('prepared', 'rejected', 'waiting', 'composing', 'cancelled', 'timed_out'))"
    )
    # `due_at` is when it may be claimed next: the end of its lease, or of a pause. `composing_since` counts from when
    # nothing else was missing; a claim's `epoch` is what its result has to be written with.
    op.execute(
        "ALTER TABLE job ADD COLUMN epoch integer NOT NULL DEFAULT 0, "
        "ADD COLUMN due_at timestamptz NOT NULL DEFAULT now(), "
        "ADD COLUMN composing_since timestamptz NOT NULL DEFAULT now()"
    )
    op.execute("CREATE INDEX job_composing ON job (composing_since) WHERE state = 'composing'")
