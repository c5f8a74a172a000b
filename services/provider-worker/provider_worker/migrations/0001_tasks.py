"""Jobs, tasks, turns and attempts."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A row without prepared_at is a tombstone: the cancel request came before the prompts.
_JOBS = """
CREATE TABLE jobs (
    job_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    context json,
    traceparent text,
    cancel_reason text CHECK (cancel_reason IN ('user', 'deadline')),
    prepared_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""

# The live state of an item. time_left is what remained of the attempt's deadline when it gave up its slot to wait; NULL
# is all of it. resuming: whoever had the lease may have called the provider and left no outcome.
_TASKS = """
CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs,
    item int NOT NULL CHECK (item >= 1),
    tenant_id uuid NOT NULL,
    spec json NOT NULL,
    pool text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('quoting', 'ready', 'leased', 'staged', 'waiting', 'completed', 'failed', 'cancelled')),
    attempt int NOT NULL CHECK (attempt >= 0),
    attempt_id uuid NOT NULL,
    provider text,
    model text,
    price_micros bigint CHECK (price_micros >= 0),
    held_micros bigint CHECK (held_micros >= 0),
    price_version text,
    calls int NOT NULL DEFAULT 0,
    remakes int NOT NULL DEFAULT 0,
    tried text[] NOT NULL DEFAULT '{}',
    epoch int NOT NULL DEFAULT 0,
    lease_until timestamptz,
    time_left interval,
    next_at timestamptz,
    quoted_at timestamptz,
    resuming boolean NOT NULL DEFAULT false,
    cancel_reason text,
    external json,
    staged json,
    last_code text,
    last_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, item)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000
)
"""

_TASK_INDEXES = (
    "CREATE INDEX tasks_ready ON tasks (pool, tenant_id, id) WHERE state = 'ready'",
    "CREATE INDEX tasks_slots ON tasks (pool, tenant_id, lease_until) WHERE state = 'leased'",
    "CREATE INDEX tasks_leases ON tasks (lease_until) WHERE state IN ('leased', 'staged')",
    "CREATE INDEX tasks_waiting ON tasks (next_at) WHERE state = 'waiting'",
    "CREATE INDEX tasks_quoting ON tasks (quoted_at) WHERE state = 'quoting'",
)

# One row per tenant and pool is the lock, the turn and the cap of a claim. cap NULL: the route's own limit.
_TURNS = """
CREATE TABLE turns (
    pool text NOT NULL,
    tenant_id uuid NOT NULL,
    cap int CHECK (cap >= 0),
    waiting boolean NOT NULL DEFAULT true,
    served_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (pool, tenant_id)
) WITH (fillfactor = 50)
"""

_TURN_INDEX = "CREATE INDEX turns_next ON turns (pool, served_at) WHERE waiting"

# Written down before the call (the intent), closed by its outcome. attempt_id is our reference at the provider.
_ATTEMPTS = """
CREATE TABLE attempts (
    attempt_id uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    item int NOT NULL,
    attempt int NOT NULL CHECK (attempt >= 1),
    tenant_id uuid NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    request_sha256 text NOT NULL,
    price_micros bigint NOT NULL,
    price_version text NOT NULL,
    intent_at timestamptz NOT NULL DEFAULT now(),
    calls int NOT NULL DEFAULT 0,
    external_id text,
    staged json,
    outcome text CHECK (outcome IN ('completed', 'failed', 'cancelled')),
    code text,
    billing text CHECK (billing IN ('none', 'final', 'pending')),
    amount_micros bigint CHECK (amount_micros >= 0),
    basis text,
    closed_at timestamptz,
    lookup_at timestamptz,
    lookups int NOT NULL DEFAULT 0,
    settled_at timestamptz,
    evidence text,
    swept_at timestamptz,
    UNIQUE (job_id, item, attempt)
)
"""

_ATTEMPT_INDEXES = (
    "CREATE INDEX attempts_pending ON attempts (lookup_at) WHERE billing = 'pending'",
    "CREATE INDEX attempts_staged ON attempts (closed_at) WHERE staged IS NOT NULL AND swept_at IS NULL",
)


def upgrade() -> None:
    create_chassis_tables(op)
    for statement in (_JOBS, _TASKS, *_TASK_INDEXES, _TURNS, _TURN_INDEX, _ATTEMPTS, *_ATTEMPT_INDEXES):
        op.execute(statement)
    for table in ("jobs", "tasks", "turns", "attempts"):
        enable_rls(op, table)


def downgrade() -> None:
    for table in ("attempts", "turns", "tasks", "jobs", "outbox_dead", "outbox_published", "outbox", "inbox"):
        op.execute(f"DROP TABLE {table} CASCADE")
