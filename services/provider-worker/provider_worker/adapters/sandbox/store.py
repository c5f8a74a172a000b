"""What the sandbox was paid: a bill of its own, outside our databases, to compare our ledger with.

A SQLite file in WAL mode that several processes may share. `synchronous=FULL`: what was answered is on the disk also
after a power cut, as it would be at a provider; group commit makes that one flush for all submits of a moment.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE = "bill.sqlite3"
CURRENCY = "USD"

_BUSY_S = 30.0
_TABLES = """
create table if not exists generations (
    reference text primary key,
    external_id text not null unique,
    request_sha256 text not null,
    amount_micros integer not null check (amount_micros >= 0),
    duplicate_submits integer not null default 0,
    accepted_at real not null
) strict, without rowid;
create table if not exists built_on (
    reference text primary key,
    inputs text not null
) strict, without rowid;
create table if not exists refusals (
    reference text primary key,
    refused integer not null
) strict, without rowid;
"""


class BillError(Exception):
    """The bill could not be read or written; nothing of the call was kept."""


@dataclass(frozen=True, slots=True)
class Submit:
    """A request as the bill sees it: our reference, what it asks for, its price, and how often to refuse it first.

    `inputs` tells what it builds on, where it does.
    """

    reference: str
    request_sha256: str
    amount_micros: int
    refuse_first: int = 0
    inputs: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A paid generation; `repeated` if this reference had been paid before, `inputs` as it was submitted with."""

    external_id: str
    request_sha256: str
    repeated: bool
    inputs: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One paid generation on the bill."""

    reference: str
    external_id: str
    amount_micros: int
    duplicate_submits: int
    accepted_at: float


@dataclass(frozen=True, slots=True)
class Bill:
    """All that was ever paid: how many generations, their sum in micro-units, and submits that came again."""

    count: int
    amount_micros: int
    duplicate_submits: int
    currency: str = CURRENCY


def external_id_of(reference: str) -> str:
    """The sandbox's own name for a generation."""
    return "sbx_" + hashlib.sha256(reference.encode()).hexdigest()[:24]


class BillBook:
    """An open bill; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                folder / FILE, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            _prepare(self._connection)
        except (OSError, sqlite3.Error) as error:
            raise BillError(f"the sandbox's bill in {folder} cannot be opened: {error}") from error

    def enter(self, submits: Sequence[Submit]) -> list[Accepted | None]:
        """Pay for a group of submits in one commit; None for those that are to be refused.

        A reference that is there already is not paid again: its submit is counted as a duplicate.
        """
        with self._writing() as connection:
            return [_enter(connection, submit) for submit in submits]

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _translated():
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")


def _prepare(connection: sqlite3.Connection) -> None:
    """Switching to WAL does not wait for others that do the same, so it is tried until it has worked."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("pragma synchronous = full")
    connection.executescript(f"begin immediate; {_TABLES} commit;")


def _enter(connection: sqlite3.Connection, submit: Submit) -> Accepted | None:
    if submit.refuse_first and _refuses(connection, submit):
        return None
    row = connection.execute(
        "insert into generations (reference, external_id, request_sha256, amount_micros, accepted_at)"
        " values (?, ?, ?, ?, ?)"
        " on conflict (reference) do update set duplicate_submits = duplicate_submits + 1"
        " returning external_id, request_sha256, duplicate_submits",
        (
            submit.reference,
            external_id_of(submit.reference),
            submit.request_sha256,
            submit.amount_micros,
            time.time(),
        ),
    ).fetchone()
    if submit.inputs is not None:
        connection.execute(
            "insert into built_on (reference, inputs) values (?, ?) on conflict (reference) do nothing",
            (submit.reference, submit.inputs),
        )
    return Accepted(row[0], row[1], repeated=row[2] > 0, inputs=submit.inputs)


def _refuses(connection: sqlite3.Connection, submit: Submit) -> bool:
    row = connection.execute(
        "insert into refusals (reference, refused) values (?, 1)"
        " on conflict (reference) do update set refused = refused + 1 returning refused",
        (submit.reference,),
    ).fetchone()
    return bool(row[0] <= submit.refuse_first)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BillError(f"the sandbox's bill failed: {error}") from error


def read_bill(folder: Path) -> Bill:
    """The sums of the bill in `folder`, while others may be writing it. Raises `BillError` where there is none."""
    with _reading(folder) as connection:
        row = connection.execute(
            "select count(*), coalesce(sum(amount_micros), 0), coalesce(sum(duplicate_submits), 0) from generations"
        ).fetchone()
    return Bill(*row)


def find_accepted(folder: Path, reference: str) -> Accepted | None:
    """The paid generation of a reference, None where it was never paid."""
    with _reading(folder) as connection:
        row = connection.execute(
            "select external_id, request_sha256, inputs from generations left join built_on using (reference)"
            " where reference = ?",
            (reference,),
        ).fetchone()
    return Accepted(row[0], row[1], repeated=True, inputs=row[2]) if row else None


def read_lines(folder: Path) -> list[Line]:
    """Every paid generation, by reference."""
    with _reading(folder) as connection:
        rows = connection.execute(
            "select reference, external_id, amount_micros, duplicate_submits, accepted_at"
            " from generations order by reference"
        ).fetchall()
    return [Line(*row) for row in rows]


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / FILE
    if not path.exists():
        raise BillError(f"there is no sandbox bill in {folder}")
    with _translated(), closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
        yield connection
