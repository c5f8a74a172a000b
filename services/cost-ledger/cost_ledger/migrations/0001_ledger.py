"""Budgets, attempts, transfers and accounts."""

from __future__ import annotations

from alembic import op

from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None

# `limit_micros` is what may be held; `ceiling_micros` is what the CHECK allows. They differ only after a limit was
# lowered below what was taken by then.
_BUDGET = """
CREATE TABLE budget (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL UNIQUE,
    currency text NOT NULL,
    period text NOT NULL CHECK (period = 'total'),
    limit_micros bigint NOT NULL CHECK (limit_micros >= 0),
    ceiling_micros bigint NOT NULL CHECK (ceiling_micros >= limit_micros),
    reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
    captured_micros bigint NOT NULL DEFAULT 0 CHECK (captured_micros >= 0),
    told_percent smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT budget_cap CHECK (reserved_micros + captured_micros <= ceiling_micros)
) WITH (fillfactor = 50)
"""

# What is held and captured follows from the decision and the bill here once more, apart from the code that moves money.
_ATTEMPT = """
CREATE TABLE attempt (
    job_id uuid NOT NULL,
    item integer NOT NULL CHECK (item >= 1),
    attempt integer NOT NULL CHECK (attempt >= 1),
    tenant_id uuid NOT NULL,
    user_id uuid,
    decision text CHECK (decision IN ('granted', 'refused')),
    quoted_micros bigint NOT NULL CHECK (quoted_micros >= 0),
    provider text NOT NULL,
    model text NOT NULL,
    refused_by text CHECK (refused_by IN ('budget', 'max_cost')),
    refused_limit_micros bigint,
    refused_left_micros bigint,
    bill text CHECK (bill IN ('none', 'final', 'pending')),
    bill_micros bigint CHECK (bill_micros >= 0),
    bill_provider text,
    bill_model text,
    created_at timestamptz NOT NULL DEFAULT now(),
    reserved_micros bigint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN decision = 'granted' AND coalesce(bill, 'pending') = 'pending' THEN quoted_micros ELSE 0 END
    ) STORED,
    captured_micros bigint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN decision = 'granted' AND bill = 'final' THEN least(bill_micros, quoted_micros) ELSE 0 END
    ) STORED,
    PRIMARY KEY (job_id, item, attempt),
    CHECK ((decision IS NOT DISTINCT FROM 'refused') = (refused_by IS NOT NULL)),
    CHECK ((bill IS NULL) = (bill_micros IS NULL))
)
"""

_TRANSFER = """
CREATE TABLE transfer (
    job_id uuid NOT NULL,
    item integer NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('hold', 'capture', 'release', 'bill', 'excess')),
    tenant_id uuid NOT NULL,
    provider text NOT NULL,
    debit_account text NOT NULL,
    credit_account text NOT NULL CHECK (credit_account <> debit_account),
    amount_micros bigint NOT NULL CHECK (amount_micros > 0),
    currency text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, item, attempt, kind)
)
"""

_ACCOUNT = """
CREATE TABLE account (
    tenant_id uuid NOT NULL,
    account text NOT NULL CHECK (account IN ('available', 'reserved', 'spent', 'cost', 'variance', 'payable')),
    provider text NOT NULL,
    debit_micros bigint NOT NULL CHECK (debit_micros >= 0),
    credit_micros bigint NOT NULL CHECK (credit_micros >= 0),
    PRIMARY KEY (tenant_id, account, provider)
) WITH (fillfactor = 50)
"""

_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transfers are append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""


def upgrade() -> None:
    create_chassis_tables(op)
    for table in (_BUDGET, _ATTEMPT, _TRANSFER, _ACCOUNT):
        op.execute(table)
    op.execute("CREATE INDEX attempt_open ON attempt (tenant_id, created_at) WHERE reserved_micros > 0")
    op.execute(_APPEND_ONLY)
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for table in ("budget", "attempt", "transfer", "account"):
        enable_rls(op, table)
