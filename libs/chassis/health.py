"""Whether a process lives and whether it is ready, as /livez and /readyz tell it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chassis.metrics import EXPOSITION_CONTENT_TYPE, exposition

Check = Callable[[], Sequence[str]]

_DATABASE_CACHE = 2.0
_DATABASE_TIMEOUT = 2.0


class Health:
    """Collects what is wrong. Liveness asks nothing external; readiness asks the database at most every 2 s.

    Checks are quick and answer sentences; an empty answer is good news.
    """

    def __init__(self) -> None:
        self.starting = False
        self.draining = False
        self._live: list[Check] = []
        self._ready: list[Check] = []
        self._engine: AsyncEngine | None = None
        self._database_read_at = float("-inf")
        self._database_problem: str | None = None

    def live_when(self, check: Check) -> None:
        """The process should be restarted when `check` finds something."""
        self._live.append(check)

    def ready_when(self, check: Check) -> None:
        """The process should get no traffic while `check` finds something."""
        self._ready.append(check)

    def needs_database(self, engine: AsyncEngine) -> None:
        """Not ready while `engine` gives no answer within 2 s."""
        self._engine = engine

    def deaths(self) -> list[str]:
        """Why the process should be restarted."""
        return [problem for check in self._live for problem in check()]

    async def obstacles(self) -> list[str]:
        """Why the process is not ready."""
        found = ["starting"] if self.starting else []
        found += ["draining"] if self.draining else []
        found += [problem for check in self._ready for problem in check()]
        problem = await self._database()
        return [*found, problem] if problem else found

    async def _database(self) -> str | None:
        now = time.monotonic()
        if self._engine is None or now - self._database_read_at < _DATABASE_CACHE:
            return self._database_problem
        self._database_read_at = now
        try:
            async with asyncio.timeout(_DATABASE_TIMEOUT), self._engine.connect() as conn:
                await conn.execute(text("SELECT 1"))
        except Exception as error:
            self._database_problem = f"the database does not answer: {type(error).__name__}"
        else:
            self._database_problem = None
        return self._database_problem


def _of(request: Request) -> Health:
    health: Health = request.app.state.health
    return health


def _told(problems: Sequence[str]) -> Response:
    body = {"status": "failed" if problems else "ok", "problems": list(problems)}
    return JSONResponse(body, 503 if problems else 200, {"Cache-Control": "no-store"})


async def livez(request: Request) -> Response:
    """200 while the process should be left alone."""
    return _told(_of(request).deaths())


async def readyz(request: Request) -> Response:
    """200 while the process can do its work."""
    return _told([*_of(request).deaths(), *await _of(request).obstacles()])


async def metrics(_: Request) -> Response:
    """All metrics in Prometheus' text format."""
    return Response(exposition(), media_type=EXPOSITION_CONTENT_TYPE)
