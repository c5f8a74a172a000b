"""Callbacks of providers, as they came, and which of them has been applied."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# attempt_id is the one the address named, if it named one. delivery is the provider's name for what it told, once that
# has been applied. next_at is NULL and the body gone when it is done.
_CALLBACKS = """
CREATE TABLE callbacks (
    id uuid PRIMARY KEY,
    provider text NOT NULL,
    attempt_id uuid,
    headers json NOT NULL,
    body bytea,
    received_at timestamptz NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz DEFAULT now(),
    tries int NOT NULL DEFAULT 0,
    done_at timestamptz,
    outcome text,
    delivery text
)
"""

_INDEXES = (
    "CREATE INDEX callbacks_due ON callbacks (next_at) WHERE next_at IS NOT NULL",
    "CREATE UNIQUE INDEX callbacks_applied ON callbacks (provider, delivery) WHERE delivery IS NOT NULL",
    "CREATE INDEX callbacks_done ON callbacks (done_at) WHERE done_at IS NOT NULL",
    # Whose job it is that a callback is about, or that was found at the provider: it has but one of our attempts.
    "CREATE UNIQUE INDEX tasks_external ON tasks (provider, (external ->> 'id')) WHERE external IS NOT NULL",
    "CREATE INDEX attempts_external ON attempts (provider, (external ->> 'id')) WHERE external IS NOT NULL",
)


def upgrade() -> None:
    for statement in (_CALLBACKS, *_INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for statement in ("DROP INDEX attempts_external", "DROP INDEX tasks_external", "DROP TABLE callbacks"):
        op.execute(statement)
