"""Webhooks: addresses that hear how jobs ended, and what is to be delivered to each."""

from __future__ import annotations

from alembic import op

from chassis.migrations import enable_rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Marked first and swept later, both: rows of deliveries that are being written at that moment know no foreign key.
    """
    CREATE TABLE webhook (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        all_jobs boolean NOT NULL,
        url text NOT NULL,
        events text[] NOT NULL,
        description text,
        created_at timestamptz NOT NULL DEFAULT now(),
        disabled_at timestamptz,
        disabled_reason text,
        deleted_at timestamptz,
        CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
    )
    """,
    "CREATE INDEX webhook_of_tenant ON webhook (tenant_id, id) WHERE deleted_at IS NULL",
    "CREATE INDEX webhook_ended ON webhook (id) WHERE deleted_at IS NOT NULL OR disabled_at IS NOT NULL",
    # `due_at` of a pending one is when it is sent next, and while it is leased when the lease ends.
    """
    CREATE TABLE webhook_delivery (
        n bigint GENERATED ALWAYS AS IDENTITY,
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        webhook_id uuid NOT NULL,
        tenant_id uuid NOT NULL,
        job_id uuid NOT NULL,
        event text NOT NULL,
        body text NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given_up')),
        attempts integer NOT NULL DEFAULT 0,
        epoch integer NOT NULL DEFAULT 0,
        leased boolean NOT NULL DEFAULT false,
        due_at timestamptz NOT NULL DEFAULT now(),
        pending_since timestamptz NOT NULL DEFAULT now(),
        status smallint,
        error text,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        CHECK ((ended_at IS NULL) = (state = 'pending'))
    )
    """,
    "CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, due_at) WHERE state = 'pending'",
    "CREATE INDEX webhook_delivery_oldest ON webhook_delivery (pending_since) WHERE state = 'pending'",
    "CREATE INDEX webhook_delivery_newest ON webhook_delivery (webhook_id, n)",
    "CREATE INDEX webhook_delivery_ended ON webhook_delivery (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)
    for table in ("webhook", "webhook_delivery"):
        enable_rls(op, table)
