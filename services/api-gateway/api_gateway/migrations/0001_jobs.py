"""Jobs with their facts and assets, API keys, idempotency keys and known brand kits."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What nobody searches is JSON in plain text: PostgreSQL would take jsonb apart at every write, and put it together
    # again at every read. A job is written for every event about it, mostly beside its neighbours: with half a page
    # left free all of them find room there, and no index is touched.
    """
    CREATE TABLE job (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        kind text NOT NULL,
        asset_type text,
        brand_kit_id uuid,
        brand_kit_version integer,
        request jsonb NOT NULL,
        labels jsonb NOT NULL DEFAULT '{}',
        max_cost_micros bigint,
        traceparent text,
        deadline_at timestamptz,
        requested_at timestamptz NOT NULL DEFAULT now(),
        requests integer NOT NULL DEFAULT 1,
        cancel_requested_at timestamptz,
        status text NOT NULL DEFAULT 'queued',
        progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
        settled boolean NOT NULL DEFAULT false,
        view text NOT NULL DEFAULT '{}',
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        completed_at timestamptz,
        CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'partial', 'failed', 'cancelled')))
    ) WITH (fillfactor = 50)
    """,
    # Newest first is the order of the ids, which are UUIDv7.
    "CREATE INDEX job_of_tenant ON job (tenant_id, id)",
    "CREATE INDEX job_of_user ON job (tenant_id, user_id, id)",
    "CREATE INDEX job_by_status ON job (tenant_id, status, id)",
    # Most jobs have none, and those of one type may be far back among many others.
    "CREATE INDEX job_by_asset_type ON job (tenant_id, asset_type, id) WHERE asset_type IS NOT NULL",
    "CREATE INDEX job_unanswered ON job (requested_at) WHERE status = 'queued' AND cancel_requested_at IS NULL",
    """
    CREATE INDEX job_with_deadline ON job (deadline_at)
        WHERE deadline_at IS NOT NULL AND cancel_requested_at IS NULL AND completed_at IS NULL
    """,
    """
    CREATE INDEX job_stopping ON job (cancel_requested_at)
        WHERE cancel_requested_at IS NOT NULL AND completed_at IS NULL
    """,
    """
    CREATE TABLE fact (
        job_id uuid NOT NULL,
        item integer NOT NULL,
        attempt integer NOT NULL,
        kind smallint NOT NULL,
        output integer NOT NULL,
        asset_id uuid,
        body text NOT NULL,
        UNIQUE NULLS NOT DISTINCT (job_id, item, attempt, kind, output, asset_id)
    )
    """,
    """
    CREATE TABLE asset (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        job_id uuid NOT NULL,
        place integer NOT NULL,
        url text NOT NULL,
        sha256 text NOT NULL,
        is_public boolean NOT NULL,
        deleted boolean NOT NULL,
        body text NOT NULL
    )
    """,
    "CREATE INDEX asset_of_job ON asset (job_id, place)",
    # Counted as jobs come and move, because counting 100,000 of them for every page would take longer than the page.
    # Whoever writes has a shard of his own, so that nobody waits for another's transaction.
    """
    CREATE TABLE job_total (
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        kind text NOT NULL,
        asset_type text NOT NULL,
        status text NOT NULL,
        shard smallint NOT NULL,
        jobs bigint NOT NULL,
        PRIMARY KEY (tenant_id, user_id, kind, asset_type, status, shard)
    ) WITH (fillfactor = 50)
    """,
    # A label is found here and not in the job's own column: an index on jsonb is of no use below row-level security.
    """
    CREATE TABLE job_label (
        tenant_id uuid NOT NULL,
        name text NOT NULL,
        value text NOT NULL,
        job_id uuid NOT NULL,
        user_id uuid NOT NULL,
        PRIMARY KEY (tenant_id, name, value, job_id) INCLUDE (user_id)
    )
    """,
    """
    CREATE TABLE api_key (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        prefix text NOT NULL,
        sha256 bytea NOT NULL UNIQUE,
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX api_key_prefix ON api_key (prefix)",
    """
    CREATE TABLE idempotency (
        tenant_id uuid NOT NULL,
        key text NOT NULL,
        digest bytea NOT NULL,
        job_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, key)
    )
    """,
    """
    CREATE TABLE brand_kit (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        version integer NOT NULL,
        deleted boolean NOT NULL DEFAULT false,
        PRIMARY KEY (tenant_id, id)
    )
    """,
)


def upgrade() -> None:
    create_chassis_tables(op)
    for statement in _STATEMENTS:
        op.execute(statement)
    for table in ("job", "asset", "job_total", "job_label", "brand_kit"):
        enable_rls(op, table)
