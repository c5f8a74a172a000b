"""Polls by schedule, what is known of a provider's job between them, and one row for each provider's account."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What a vanished holder left is in the state of its own now: it keeps its slot, because the provider may be at work.
_TASKS = (
    "ALTER TABLE tasks DROP CONSTRAINT tasks_state_check",
    """ALTER TABLE tasks ADD CONSTRAINT tasks_state_check CHECK (state IN
        ('quoting', 'ready', 'leased', 'polling', 'staged', 'waiting', 'completed', 'failed', 'cancelled'))""",
    "ALTER TABLE tasks ADD COLUMN deadline_at timestamptz",
    "UPDATE tasks SET state = 'polling', next_at = now() WHERE resuming AND state IN ('ready', 'waiting')",
    "ALTER TABLE tasks DROP COLUMN resuming",
    "DROP INDEX tasks_slots",
    "CREATE INDEX tasks_slots ON tasks (pool, tenant_id) WHERE state IN ('leased', 'polling')",
    "CREATE INDEX tasks_polling ON tasks (next_at) WHERE state = 'polling'",
    "CREATE INDEX tasks_attempt ON tasks (attempt_id) WHERE state = 'polling'",
)

# flagged_at: since when the bill waits for an operator, because its provider can be asked for nothing.
_ATTEMPTS = "ALTER TABLE attempts ADD COLUMN external json, ADD COLUMN flagged_at timestamptz"

# There from the first limit or the first trouble. tokens are as of refilled_at; failures in a row open the breaker
# until opened_until, and one call is let through after it.
_ACCOUNTS = """
CREATE TABLE accounts (
    provider text PRIMARY KEY,
    tokens double precision,
    refilled_at timestamptz NOT NULL DEFAULT now(),
    failures int NOT NULL DEFAULT 0,
    opened_until timestamptz,
    code text,
    message text
)
"""


def upgrade() -> None:
    for statement in (*_TASKS, _ATTEMPTS, _ACCOUNTS):
        op.execute(statement)


def downgrade() -> None:
    for statement in (
        "DROP TABLE accounts",
        "ALTER TABLE attempts DROP COLUMN external, DROP COLUMN flagged_at",
        "DROP INDEX tasks_attempt",
        "DROP INDEX tasks_polling",
        "DROP INDEX tasks_slots",
        "CREATE INDEX tasks_slots ON tasks (pool, tenant_id, lease_until) WHERE state = 'leased'",
        "ALTER TABLE tasks ADD COLUMN resuming boolean NOT NULL DEFAULT false",
        "UPDATE tasks SET state = 'ready', resuming = true WHERE state = 'polling'",
        "ALTER TABLE tasks DROP COLUMN deadline_at",
        "ALTER TABLE tasks DROP CONSTRAINT tasks_state_check",
        """ALTER TABLE tasks ADD CONSTRAINT tasks_state_check CHECK (state IN
            ('quoting', 'ready', 'leased', 'staged', 'waiting', 'completed', 'failed', 'cancelled'))""",
    ):
        op.execute(statement)
