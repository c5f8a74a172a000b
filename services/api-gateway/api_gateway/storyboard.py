"""The dialect of Storyboard: its requests as orders of ours, and our jobs in its words (R3, R4, R7, R17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from api_gateway.inputs import LONGEST_URL, InputRequest, public_address
from api_gateway.orders import Order
from api_gateway.requests import MAX_PIXELS, MIN_PIXELS, InvalidRequest, JobRequest, Prompt, Word, translate
from chassis.errors import BacklotError, FieldError
from chassis.ids import uuid7_time
from schemas.parts import InputRole, Kind

JobType = Literal["master_asset", "start_frame", "end_frame", "inpaint"]
Edge = Annotated[int, Field(ge=MIN_PIXELS, le=MAX_PIXELS)]


def _asset_or_address(text: str) -> str:
    return text if _as_id(text) is not None else public_address(text)


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


Source = Annotated[str, StringConstraints(max_length=LONGEST_URL), AfterValidator(_asset_or_address)]


class StoryboardRequest(BaseModel):
    """A picture for a project's branch: a master asset, a frame of a shot, or a picture with a part made anew."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        json_schema_extra={
            "examples": [
                {
                    "projectId": "heist",
                    "branchId": "main",
                    "jobType": "master_asset",
                    "assetId": "old-safe",
                    "prompt": "a heavy safe of the twenties",
                    "width": 1024,
                    "height": 1024,
                    "idempotencyKey": "heist-main-old-safe-1",
                }
            ]
        },
    )

    project_id: Word
    branch_id: Word
    job_type: JobType
    prompt: Prompt
    width: Edge
    height: Edge
    visual_style_capsule_id: UUID | None = Field(default=None, description="a style capsule of the tenant (R107)")
    asset_id: Word | None = Field(default=None, description="Storyboard's own name of the asset")
    scene_id: Word | None = None
    shot_id: Word | None = None
    image: Source | None = Field(
        default=None, description="for inpaint: the picture, by the id of an asset of yours or at an https address"
    )
    mask: Source | None = Field(
        default=None, description="for inpaint: a PNG of the same size, by the id of an asset or at an https address"
    )
    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,255}$")] | None = Field(
        default=None, description="the same thing as the header Idempotency-Key (R23)"
    )


def order_of(request: StoryboardRequest) -> Order:
    """The order that `request` comes to, its path still without what `placed` adds. Raises `InvalidRequest`."""
    job = JobRequest(
        kind=Kind.IMAGE,
        prompt=request.prompt,
        width=request.width,
        height=request.height,
        style_capsule_id=request.visual_style_capsule_id,
        inputs=_inputs(request),
        # What Storyboard shows is at a `publicUrl`.
        visibility="public",
        labels=_labels(request),
    )
    order = translate(job)
    return replace(order, spec=order.spec.model_copy(update={"path": _path(request)}))


def placed(order: Order, job_id: UUID) -> Order:
    """`order` with time and chance in its path (R115, R116), both those of the job's id.

    They come after the digest was taken: a repeated request is still the same.
    """
    path = f"{order.spec.path}_{uuid7_time(job_id):%Y%m%d%H%M%S}_{job_id.int & 0xFFFFFFFF:08x}.png"
    return replace(order, spec=order.spec.model_copy(update={"path": path}))


def told(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job, as our API shows it, in the words of the dialect (R7, R17)."""
    answer = {
        "jobId": job["id"],
        "status": _status(job),
        "publicUrl": next((item["url"] for item in job["items"] if item["url"]), None),
        "cost": {name: job["cost"][name] for name in ("estimated", "actual", "currency")},
        "createdAt": job["created_at"],
        "completedAt": job["completed_at"],
    }
    error = _error(job)
    return answer if error is None else {**answer, "error": error}


def in_dialect(error: BacklotError, *, key_in_body: bool) -> BacklotError:
    """A refusal that names the fields of the dialect instead of ours."""
    names = _NAMES | ({"/header/Idempotency-Key": "/idempotencyKey"} if key_in_body else {})
    for ours in {field.pointer for field in error.errors} & names.keys():
        error.detail = error.detail.replace(ours, names[ours])
    error.errors = tuple(FieldError(names.get(field.pointer, field.pointer), field.detail) for field in error.errors)
    return error


_NAMES = {
    "/style_capsule_id": "/visualStyleCapsuleId",
    "/inputs/0/asset_id": "/image",
    "/inputs/1/asset_id": "/mask",
}
_STAGES = {"prompting": "processing", "generating": "generating", "uploading": "uploading", "persisting": "uploading"}
_ENDS = {"completed": "completed", "partial": "completed", "failed": "failed", "cancelled": "failed"}


def _inputs(request: StoryboardRequest) -> list[InputRequest]:
    given = {"image": request.image, "mask": request.mask}
    for field, source in given.items():
        if request.job_type == "inpaint" and source is None:
            raise _refused(f"/{field}", "is needed for inpaint")
        if request.job_type != "inpaint" and source is not None:
            raise _refused(f"/{field}", "is for inpaint")
    roles: dict[str, InputRole] = {"image": "reference", "mask": "mask"}
    return [_input(roles[field], source) for field, source in given.items() if source is not None]


def _input(role: InputRole, source: str) -> InputRequest:
    asset_id = _as_id(source)
    return InputRequest(role=role, asset_id=asset_id, url=None if asset_id else source)


def _path(request: StoryboardRequest) -> str:
    """Without a scene a frame is the branch's own; what is made anew goes where its picture is."""
    if request.scene_id is None and request.shot_id is not None:
        raise _refused("/sceneId", "is needed beside shotId")
    branch = f"project_{request.project_id}/branch_{request.branch_id}"
    if request.job_type == "master_asset" or (request.job_type == "inpaint" and request.scene_id is None):
        return f"{branch}/master-assets/{request.asset_id or request.job_type}"
    scene = f"/scene_{request.scene_id}" if request.scene_id else ""
    shot = f"/shot_{request.shot_id}" if request.shot_id else ""
    return f"{branch}{scene}{shot}/{request.job_type}"


def _labels(request: StoryboardRequest) -> dict[str, str]:
    given = {
        "project": request.project_id,
        "branch": request.branch_id,
        "job_type": request.job_type,
        "asset": request.asset_id,
        "scene": request.scene_id,
        "shot": request.shot_id,
    }
    return {name: value for name, value in given.items() if value is not None}


def _status(job: Mapping[str, Any]) -> str:
    if job["status"] == "processing":
        return _STAGES.get(job["stage"], "processing")
    return _ENDS.get(job["status"], "queued")


def _error(job: Mapping[str, Any]) -> dict[str, Any] | None:
    if job["status"] == "cancelled":
        return {"code": "CANCELLED", "message": "The job was cancelled", "failureStage": None}
    error = job["error"]
    return error and {"code": error["code"], "message": error["message"], "failureStage": error["stage"]}


def _refused(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{pointer} {detail}", errors=[FieldError(pointer, detail)])
