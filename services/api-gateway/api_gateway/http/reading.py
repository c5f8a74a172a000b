"""How jobs and their assets are read, waited for, stopped and fetched again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api_gateway.http.authentication import Authenticator, credential
from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import ASSETS, JOB, JOB_LIST, LIST_PARAMETERS, body_of
from api_gateway.http.responses import answer, job_answer, matches, not_modified
from api_gateway.keys import Principal
from api_gateway.paging import Page, cursor_of, page_of
from api_gateway.rendering import JobRow, Sign, asset_url, assets_json, job_json
from api_gateway.store.jobs import Jobs
from api_gateway.watching import Watch

LONGEST_WAIT = 60
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for a change")]
Include = Annotated[Literal["assets"] | None, Query()]


class RedownloadRequest(BaseModel):
    """The items to fetch again; without them all that were paid for and are not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: list[Annotated[int, Field(ge=1)]] | None = Field(default=None, min_length=1, max_length=10_000)


@dataclass(frozen=True, slots=True)
class Reading:
    """The routes that show jobs. `public_url` is the origin the bytes are served from."""

    jobs: Jobs
    watch: Watch
    auth: Authenticator
    sign: Sign
    public_url: str

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", tags=["jobs"])
        reads, writes = self.auth.scope("jobs:read"), self.auth.scope("jobs:write")

        @router.get("/jobs", response_model=None, responses=JOB_LIST, openapi_extra=LIST_PARAMETERS)
        async def list_jobs(request: Request, who: Principal = reads) -> Response:
            """Jobs, newest first (R9). Labels are asked for as `label.NAME=VALUE`."""
            return await self.page(who, page_of(request.query_params.multi_items()))

        @router.get("/jobs/{job_id}", response_model=None, responses=JOB)
        async def show_job(
            request: Request,
            job_id: UUID,
            wait: Wait = 0,
            include: Include = None,
            who: Principal = reads,
        ) -> Response:
            """A job. With `wait` the answer is held until the job changes, or differs from `If-None-Match`."""
            return await self.show(request, who, job_id, wait, include)

        @router.get("/jobs/{job_id}/assets", response_model=None, responses=ASSETS)
        async def list_assets(job_id: UUID, who: Principal = reads) -> Response:
            """The assets of a job, in the order of its items (R8)."""
            await self.jobs.job(who, job_id)
            items = assets_json(await self.jobs.assets(who, job_id), self.sign)
            count = len(items)
            return answer({"items": items, "total": count, "limit": count, "offset": 0, "next_cursor": None})

        @router.post("/jobs/{job_id}/cancel", status_code=202, response_model=None, responses={202: JOB[200]})
        async def cancel(job_id: UUID, who: Principal = writes) -> Response:
            """Ask a job to stop (R22). 409 when it has ended; `cancellation` says what came of it and what it cost."""
            return job_answer(await self.jobs.cancel(who, job_id), self.sign, status=202)

        @router.post(
            "/jobs/{job_id}/redownload",
            status_code=202,
            response_model=None,
            responses={202: JOB[200]},
            openapi_extra=body_of(RedownloadRequest, required=False),
        )
        async def redownload(request: Request, job_id: UUID, who: Principal = writes) -> Response:
            """Fetch what was paid for again, without another generation.

            For items that failed though they were paid for: the job's status and cost stay, and `redownload` of each
            item says what came of it. What came late by itself becomes the item's at once. 409 where there is nothing
            to fetch.
            """
            body = await read_body(request)
            wanted = parse(RedownloadRequest, body) if body.strip() else RedownloadRequest()
            row = await self.jobs.redownload(who, job_id, list(dict.fromkeys(wanted.items or ())))
            return job_answer(row, self.sign, status=202)

        return router

    def asset_router(self) -> APIRouter:
        router = APIRouter(tags=["assets"])

        @router.head("/asset/{asset_id}", include_in_schema=False, response_model=None)
        @router.get("/asset/{asset_id}", status_code=302, response_model=None)
        async def show_asset(asset_id: UUID, request: Request) -> Response:
            """To the bytes: public ones for everybody (R134), private ones signed, or for their owner."""
            return RedirectResponse(await self._address(request, asset_id), 302, {"Cache-Control": "private, no-store"})

        return router

    async def show(self, request: Request, who: Principal, job_id: UUID, wait: float, include: str | None) -> Response:
        """A job, held back until it changes if the request waits for that."""
        row = await self._read(request, who, job_id, wait)
        if matches(request, row):
            return not_modified(row)
        if include is None:
            return job_answer(row, self.sign)
        assets = await self.jobs.assets(who, job_id)
        return job_answer(row, self.sign, assets=assets_json(assets, self.sign))

    async def page(self, who: Principal, page: Page) -> Response:
        """A page of jobs, with how many there are and where the next one begins."""
        listed = await self.jobs.page(who, page)
        cursor = cursor_of(listed.jobs[-1].id) if listed.more else None
        return answer(
            {
                "items": [job_json(row, self.sign) for row in listed.jobs],
                "total": listed.total,
                "limit": page.limit,
                "offset": page.offset,
                "next_cursor": cursor,
            }
        )

    async def _read(self, request: Request, who: Principal, job_id: UUID, wait: float) -> JobRow:
        if wait <= 0:
            return await self.jobs.job(who, job_id)
        with self.watch.waiter(job_id) as waiter:
            row = await self.jobs.job(who, job_id)
            if row.terminal or ("if-none-match" in request.headers and not matches(request, row)):
                return row
            waiter.version = row.version
            await self.watch.wait(waiter, wait)
        return await self.jobs.job(who, job_id)

    async def _address(self, request: Request, asset_id: UUID) -> str:
        if credential(request) is not None:
            who = await self.auth.allow(request, "assets:read")
            asset = await self.jobs.asset(who, asset_id)
            if asset is not None:
                return asset_url(asset, self.sign)
        query = urlencode(request.query_params.multi_items())
        return f"{self.public_url}/asset/{asset_id}" + (f"?{query}" if query else "")
