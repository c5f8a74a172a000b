"""How jobs are made: one, many, the Studio's short form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.accepting import Accepted, Answer, Repeated, Submission
from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import JOB_ACCEPTED, body_of
from api_gateway.http.looks import Looks
from api_gateway.http.responses import NEW_JOB_HEADERS, answer, job_answer, problem
from api_gateway.keys import Principal
from api_gateway.looks import LookNotKnown, Sort
from api_gateway.orders import Order
from api_gateway.rendering import JobRow, Sign, job_json, new_job_json
from api_gateway.requests import GenerateRequest, JobRequest, translate
from api_gateway.store.jobs import Jobs
from chassis.errors import BacklotError, FieldError, Invalid
from chassis.ids import uuid7
from chassis.tracing import current_traceparent

MAX_BULK = 500
_LONGEST_KEY = 255


class BulkRequest(BaseModel):
    """Many jobs in one commit. With an Idempotency-Key each entry has a key of its own, by its index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: list[Any] = Field(min_length=1, max_length=MAX_BULK, description="each as the body of POST /api/v1/jobs")


@dataclass(frozen=True, slots=True)
class Making:
    """The routes that make jobs."""

    jobs: Jobs
    looks: Looks
    auth: Authenticator
    sign: Sign

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", tags=["jobs"])
        for path, endpoint, model in (
            ("/jobs", self.create, JobRequest),
            ("/generate", self.generate, GenerateRequest),
            ("/jobs/bulk", self.bulk, BulkRequest),
        ):
            router.add_api_route(
                path,
                endpoint,
                methods=["POST"],
                status_code=202,
                response_model=None,
                responses=JOB_ACCEPTED if model is not BulkRequest else None,
                openapi_extra=body_of(model),
            )
        return router

    async def create(self, request: Request) -> Response:
        """Make a job.

        Answered when the job is written down for good; the work begins after. `Idempotency-Key`: the same key with
        the same body is the same job, with another body 409.
        """
        who = await self.auth.allow(request, "jobs:write")
        order = translate(parse(JobRequest, await read_body(request)))
        return await self.make(request, who, order)

    async def generate(self, request: Request) -> Response:
        """Make an asset of a brand kit: the Studio's short form of `POST /api/v1/jobs` (R1, R2)."""
        who = await self.auth.allow(request, "jobs:write")
        order = translate(parse(GenerateRequest, await read_body(request)).job())
        return await self.make(request, who, order)

    async def bulk(self, request: Request) -> Response:
        """Make up to 500 jobs in one commit; every entry is answered for itself."""
        who = await self.auth.allow(request, "jobs:write")
        entries = parse(BulkRequest, await read_body(request)).jobs
        key = idempotency_key(request)
        submissions = [
            self._entry(who, entry, None if key is None else f"{key}#{index}") for index, entry in enumerate(entries)
        ]
        answers = await self._submit_all(who, submissions)
        rows = await self._rows(who, answers)
        items = [self._told(index, found, rows) for index, found in enumerate(answers)]
        accepted = sum(item["status"] == 202 for item in items)
        return answer({"items": items, "accepted": accepted, "refused": len(items) - accepted}, 202)

    async def make(self, request: Request, who: Principal, order: Order, *, at: str = "/api/v1/jobs") -> Response:
        """A job of `order`, or the one its idempotency key has; it is read below `at`."""
        submission = submission_of(who, order, idempotency_key(request))
        found = await self.submit(who, submission)
        if isinstance(found, Repeated):
            row = await self.jobs.job(who, found.job_id)
            extra = {"Location": f"{at}/{row.id}", "Idempotency-Replayed": "true"}
            return job_answer(row, self.sign, status=202, extra=extra)
        headers = {**NEW_JOB_HEADERS, "Location": f"{at}/{submission.job_id}"}
        return answer(new_job_json(found), 202, headers)

    async def submit(self, who: Principal, submission: Submission) -> Accepted | Repeated:
        """Makes the job; a kit or capsule that was not seen here is asked for. Raises what refuses it."""
        for _ in Sort:
            try:
                return await self.jobs.submit(submission)
            except LookNotKnown as unknown:
                await self.looks.learn(who, unknown)
        return await self.jobs.submit(submission)

    def _entry(self, who: Principal, entry: Any, key: str | None) -> Submission | BacklotError:
        try:
            return submission_of(who, translate(parse(JobRequest, to_json(entry))), key)
        except BacklotError as error:
            return error

    async def _submit_all(self, who: Principal, entries: Sequence[Submission | BacklotError]) -> list[Answer]:
        """One commit for all; another one for those whose kit had to be asked for, and one for those whose capsule."""
        answers: list[Answer] = [entry if isinstance(entry, BacklotError) else _WAITING for entry in entries]
        await self._fill(answers, entries)
        refused: dict[tuple[Sort, UUID], BacklotError | None] = {}
        for _ in Sort:
            unknown = {(found.sort, found.look_id): found for found in answers if isinstance(found, LookNotKnown)}
            for look in unknown.keys() - refused.keys():
                refused[look] = await self._learn(who, unknown[look])
            for place, found in enumerate(answers):
                if isinstance(found, LookNotKnown):
                    answers[place] = refused[found.sort, found.look_id] or _WAITING
            await self._fill(answers, entries)
        return answers

    async def _fill(self, answers: list[Answer], entries: Sequence[Submission | BacklotError]) -> None:
        """Submits the entries that wait for an answer."""
        waiting = [
            (place, entry)
            for place, entry in enumerate(entries)
            if answers[place] is _WAITING and isinstance(entry, Submission)
        ]
        if not waiting:
            return
        found = await self.jobs.submit_all([entry for _, entry in waiting])
        for (place, _), one in zip(waiting, found, strict=True):
            answers[place] = one

    async def _learn(self, who: Principal, unknown: LookNotKnown) -> BacklotError | None:
        try:
            await self.looks.learn(who, unknown)
        except BacklotError as error:
            return error
        return None

    async def _rows(self, who: Principal, answers: Sequence[Answer]) -> dict[UUID, JobRow]:
        repeated = [found.job_id for found in answers if isinstance(found, Repeated)]
        return await self.jobs.jobs(who, repeated) if repeated else {}

    def _told(self, index: int, found: Answer, rows: dict[UUID, JobRow]) -> dict[str, Any]:
        if isinstance(found, Accepted):
            return {"index": index, "status": 202, "job": new_job_json(found)}
        if isinstance(found, Repeated):
            return {"index": index, "status": 202, "job": job_json(rows[found.job_id], self.sign)}
        error = found if isinstance(found, BacklotError) else BacklotError()
        return {"index": index, "status": error.status, "error": problem(error, f"/api/v1/jobs/bulk#/jobs/{index}")}


_WAITING: Answer = RuntimeError("not answered yet")


def submission_of(who: Principal, order: Order, key: str | None) -> Submission:
    """An order of `who` as a job of its own; `key` is its idempotency key."""
    return Submission(
        job_id=uuid7(),
        tenant_id=who.tenant_id,
        user_id=who.user_id,
        order=order,
        key=key,
        digest=order.digest(who.user_id) if key is not None else b"",
        traceparent=current_traceparent(),
        sees_all=who.reader is None,
    )


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header (R23). Raises `Invalid` for one that is empty, too long or not printable ASCII."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"must be 1 to {_LONGEST_KEY} printable ASCII characters"
        raise Invalid(f"Idempotency-Key {detail}", errors=[FieldError("/header/Idempotency-Key", detail)])
    return key
