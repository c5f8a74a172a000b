"""Requests that pages make, jobs with the facts that are shown, pages as they stand in Notion, and one pace for all."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables

revision = "0001"
down_revision = None

# One row for each page, for good: whoever sees a page ask finds here what became of it (R154). `round` counts what it
# asked for, `due_at` is when it is looked at next, `claim` fences off who lost its lease.
_REQUEST = """
CREATE TABLE request (
    page_id uuid PRIMARY KEY,
    round integer NOT NULL CHECK (round >= 1),
    stage text NOT NULL CHECK (stage IN ('noticed', 'fixed', 'idle')),
    revision text,
    body text,
    idempotency_key text,
    channel text,
    project text,
    due_at timestamptz NOT NULL,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    claim uuid,
    failures integer NOT NULL DEFAULT 0,
    idle_since timestamptz NOT NULL DEFAULT '-infinity',
    CHECK (stage <> 'fixed' OR (body IS NOT NULL AND idempotency_key IS NOT NULL))
)
"""

# `ours` is null until the gateway has said whether the job is our tenant's.
_JOB = """
CREATE TABLE job (
    job_id uuid PRIMARY KEY,
    page_id uuid NOT NULL,
    ours boolean,
    due_at timestamptz NOT NULL,
    rank smallint NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'completed', 'partial', 'failed', 'cancelled')),
    generated integer,
    skipped integer,
    failed integer,
    error_code text,
    error_message text,
    cost_micros bigint,
    settled boolean NOT NULL DEFAULT false
)
"""

# `version` counts what the page should show, `written` is the one it does. `note` is of a request without a job, and
# stands until there is a job beyond `note_after`. `doubtful_until`: a write without an answer may yet arrive.
_PAGE = """
CREATE TABLE page (
    page_id uuid PRIMARY KEY,
    version bigint NOT NULL CHECK (version >= written),
    written bigint NOT NULL DEFAULT 0,
    written_at timestamptz NOT NULL DEFAULT '-infinity',
    changed_at timestamptz NOT NULL,
    types jsonb,
    note text,
    note_is_error boolean NOT NULL DEFAULT false,
    note_after uuid,
    due_at timestamptz NOT NULL,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    claim uuid,
    failures integer NOT NULL DEFAULT 0,
    refused_since timestamptz,
    refusal text,
    given_up boolean NOT NULL DEFAULT false,
    doubtful_until timestamptz
)
"""

_PACE = """
CREATE TABLE pace (
    name text PRIMARY KEY,
    next_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    create_chassis_tables(op)
    for table in (_REQUEST, _JOB, _PAGE, _PACE):
        op.execute(table)
    op.execute("INSERT INTO pace (name, next_at) VALUES ('notion', '-infinity')")
    op.execute("CREATE INDEX request_due ON request (due_at) WHERE stage <> 'idle'")
    op.execute("CREATE INDEX job_unknown ON job (due_at) WHERE ours IS NULL")
    op.execute("CREATE INDEX job_of_page ON job (page_id, job_id) WHERE ours")
    op.execute(
        "CREATE INDEX page_due ON page (due_at) "
        "WHERE (version > written OR doubtful_until IS NOT NULL) AND NOT given_up"
    )
