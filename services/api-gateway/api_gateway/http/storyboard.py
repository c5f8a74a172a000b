"""The routes of Storyboard's dialect: the same jobs, in its words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.accepting import Repeated
from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import body_of, described
from api_gateway.http.job_shapes import Shape
from api_gateway.http.making import Making, idempotency_key, submission_of
from api_gateway.http.responses import NEW_JOB_HEADERS, answer, job_headers, matches, not_modified
from api_gateway.keys import Principal
from api_gateway.rendering import JobRow, job_json
from api_gateway.storyboard import StoryboardRequest, in_dialect, order_of, placed, told
from chassis.errors import BacklotError, FieldError, Invalid

PATH = "/api/images"
Status = Literal["queued", "processing", "generating", "uploading", "completed", "failed"]


class Told(Shape):
    """Part of an answer in the dialect."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class StoryboardAccepted(Told):
    """The job was written down for good."""

    job_id: UUID
    status: Status


class StoryboardCost(Told):
    """Decimal strings."""

    estimated: str | None = Field(examples=["0.04"])
    actual: str = Field(examples=["0.039"])
    currency: str = Field(examples=["USD"])


class StoryboardError(Told):
    code: str
    message: str
    failure_stage: Literal["prompting", "generating", "uploading", "persisting"] | None


class StoryboardJob(Told):
    """A job; `error` is there when it has failed or was cancelled."""

    job_id: UUID
    status: Status
    public_url: str | None
    cost: StoryboardCost
    created_at: str
    completed_at: str | None
    error: StoryboardError | None = None


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: described(StoryboardAccepted, "The job was accepted, or was accepted before with the same key")
}
_JOB: dict[int | str, dict[str, Any]] = {200: described(StoryboardJob, "The job")}


@dataclass(frozen=True, slots=True)
class Storyboard:
    """The routes of the dialect."""

    making: Making

    def router(self) -> APIRouter:
        router = APIRouter(prefix=PATH, tags=["storyboard"])
        reads, writes = self.making.auth.scope("jobs:read"), self.making.auth.scope("jobs:write")

        @router.post(
            "/generate",
            status_code=202,
            response_model=None,
            responses=_ACCEPTED,
            openapi_extra=body_of(StoryboardRequest),
        )
        async def generate(request: Request, who: Principal = writes) -> Response:
            """Make a picture for a project's branch (R3): a job as any other, in Storyboard's words."""
            asked = parse(StoryboardRequest, await read_body(request))
            try:
                return await self._make(who, asked, _key(request, asked))
            except BacklotError as error:
                raise in_dialect(error, key_in_body=asked.idempotency_key is not None) from error

        @router.get("/jobs/{job_id}", response_model=None, responses=_JOB)
        async def show(request: Request, job_id: UUID, who: Principal = reads) -> Response:
            """A job in Storyboard's words (R7, R17); `/api/v1/jobs/{id}` says more of it."""
            row = await self.making.jobs.job(who, job_id)
            if matches(request, row):
                return not_modified(row)
            return answer(self._told(row), 200, job_headers(row))

        return router

    async def _make(self, who: Principal, asked: StoryboardRequest, key: str | None) -> Response:
        submission = submission_of(who, order_of(asked), key)
        submission = replace(submission, order=placed(submission.order, submission.job_id))
        found = await self.making.submit(who, submission)
        if isinstance(found, Repeated):
            row = await self.making.jobs.job(who, found.job_id)
            body = {"jobId": str(row.id), "status": self._told(row)["status"]}
            return answer(body, 202, {**_location(row.id), **job_headers(row), "Idempotency-Replayed": "true"})
        body = {"jobId": str(submission.job_id), "status": "queued"}
        return answer(body, 202, {**_location(submission.job_id), **NEW_JOB_HEADERS})

    def _told(self, row: JobRow) -> dict[str, Any]:
        return told(job_json(row, self.making.sign))


def _location(job_id: UUID) -> dict[str, str]:
    return {"Location": f"{PATH}/jobs/{job_id}"}


def _key(request: Request, asked: StoryboardRequest) -> str | None:
    """The idempotency key, which may come in the header, in the body, or the same in both."""
    header, body = idempotency_key(request), asked.idempotency_key
    if header is not None and body is not None and header != body:
        detail = "is not the Idempotency-Key of the header: both are the same thing"
        raise Invalid(f"/idempotencyKey {detail}", errors=[FieldError("/idempotencyKey", detail)])
    return header if body is None else body
