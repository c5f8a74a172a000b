"""The two doors of Backlot that the connector knows: manifests with idempotency keys, and whose a job is."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from chassis.ids import uuid7
from tests.notion_stub import serving

API_KEY = "bk_a_key_of_the_tests"


@dataclass
class GatewayStub:
    """Accepts every manifest but those in `refusals`, which answer the next ones: (status, code, detail)."""

    # By idempotency key: the body it came with, and the job.
    jobs: dict[str, tuple[dict[str, Any], UUID]] = field(default_factory=dict)
    refusals: deque[tuple[int, str, str]] = field(default_factory=deque)
    running: dict[tuple[str, str], UUID] = field(default_factory=dict)
    known: set[UUID] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for body, _ in self.jobs.values()]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/api/v1/manifests")
        async def submit(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {API_KEY}":
                return _problem(401, "UNAUTHENTICATED", "the key is not known")
            key = request.headers["idempotency-key"]
            self.asked.append(key)
            return self._submitted(key, await request.json())

        @app.get("/api/v1/jobs/{job_id}")
        async def look(job_id: UUID) -> Response:
            found = job_id in self.known or job_id in {job for _, job in self.jobs.values()}
            return JSONResponse({"id": str(job_id)}) if found else _problem(404, "NOT_FOUND", "there is no such job")

        return app

    def _submitted(self, key: str, body: dict[str, Any]) -> Response:
        if self.refusals:
            return _problem(*self.refusals.popleft())
        if key in self.jobs:
            before, job_id = self.jobs[key]
            if before != body:
                return _problem(409, "IDEMPOTENCY_MISMATCH", "the idempotency key was used for another request")
            return JSONResponse({"id": str(job_id), "status": "queued"}, 202)
        place = (body["channel"], body["project"])
        if place in self.running:
            return _problem(409, "CONFLICT", f"the manifest {self.running[place]} of {'/'.join(place)} runs")
        job_id = uuid7()
        self.jobs[key] = (body, job_id)
        return JSONResponse({"id": str(job_id), "status": "queued"}, 202)


def _problem(status: int, code: str, detail: str) -> Response:
    errors = [{"pointer": "/channel", "detail": "is not a name"}] if status == 422 else []
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail, "errors": errors}
    return JSONResponse(body, status, media_type="application/problem+json")


@asynccontextmanager
async def gateway_stub() -> AsyncIterator[GatewayStub]:
    """A gateway that answers."""
    stub = GatewayStub()
    async with serving(stub.app()) as url:
        stub.url = url
        yield stub
