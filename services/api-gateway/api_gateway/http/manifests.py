"""Manifests: many pictures of one project, made, shown and listed as the one job that they are."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import JOB, JOB_LIST, body_of
from api_gateway.http.describing_manifests import MANIFEST_ACCEPTED, MANIFEST_PARAMETERS
from api_gateway.http.making import Making
from api_gateway.http.reading import Include, Reading, Wait
from api_gateway.keys import Principal
from api_gateway.manifest_requests import ManifestRequest, order_of
from api_gateway.paging import manifest_page_of
from chassis.errors import NotFound

PATH = "/api/v1/manifests"


@dataclass(frozen=True, slots=True)
class Manifests:
    """The routes of manifests. They are jobs: `/api/v1/jobs` shows, stops and waits for them too."""

    making: Making
    reading: Reading

    def router(self) -> APIRouter:
        router = APIRouter(prefix=PATH, tags=["manifests"])
        reads = self.reading.auth.scope("jobs:read")
        writes = self.making.auth.scope("jobs:write")

        @router.post(
            "",
            status_code=202,
            response_model=None,
            responses=MANIFEST_ACCEPTED,
            openapi_extra=body_of(ManifestRequest),
        )
        async def make(request: Request, who: Principal = writes) -> Response:
            """Make the pictures of a project as one job (R83).

            One manifest of a channel and project runs at a time: 409 names the job that does. `Idempotency-Key` as
            with jobs.
            """
            order = order_of(parse(ManifestRequest, await read_body(request)))
            return await self.making.make(request, who, order, at=PATH)

        @router.get("", response_model=None, responses=JOB_LIST, openapi_extra=MANIFEST_PARAMETERS)
        async def list_manifests(request: Request, who: Principal = reads) -> Response:
            """The manifests, newest first."""
            return await self.reading.page(who, manifest_page_of(request.query_params.multi_items()))

        @router.get("/{job_id}", response_model=None, responses=JOB)
        async def show(
            request: Request, job_id: UUID, wait: Wait = 0, include: Include = None, who: Principal = reads
        ) -> Response:
            """A manifest, as `GET /api/v1/jobs/{id}` shows it."""
            if (await self.reading.jobs.job(who, job_id)).channel is None:
                raise NotFound(f"there is no manifest {job_id}")
            return await self.reading.show(request, who, job_id, wait, include)

        return router
