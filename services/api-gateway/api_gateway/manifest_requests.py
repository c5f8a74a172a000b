"""What clients may ask for as a manifest, and its translation into the one job that is made of it (R83-R97)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api_gateway.money import micros
from api_gateway.orders import Order
from api_gateway.requests import (
    DEAREST,
    LONGEST_DEADLINE,
    MAX_LABELS,
    MAX_PIXELS,
    MAX_SEED,
    MAX_VARIABLES,
    MIN_PIXELS,
    PROMPT_LIMIT,
    InvalidRequest,
    LabelText,
    Name,
    Prompt,
    RouteRequest,
    Text,
    Variable,
    Word,
)
from chassis.errors import FieldError
from schemas.parts import MAX_PROMPT_BYTES, JobSpec, Kind, ManifestItem, ManifestSpec, Route

MOST_ITEMS = 100
LONGEST_NAME = 1000
LARGEST_BYTES = 960 * 1024
"""What a manifest may have as JSON: an event has at most 1 MiB, and its envelope and the kit's name want room."""


def _keepable(name: str) -> str:
    # PostgreSQL keeps no NUL, and prompt-service makes the name safe anyway: any other sign that is no letter will do.
    return name.replace("\x00", "\ufffd")


AnyName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME), AfterValidator(_keepable)]
Writing = Annotated[Text, StringConstraints(max_length=PROMPT_LIMIT)]
Edge = Annotated[int, Field(ge=MIN_PIXELS, le=MAX_PIXELS)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class ManifestItemRequest(BaseModel):
    """One picture. What it does not say is the manifest's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AnyName = Field(description="made safe and unique (R95, R96); the item's `name` and `path` say as what")
    group: AnyName | None = Field(default=None, description="the folder it is in: characters, environments, props")
    prompt: Writing | None = Field(
        default=None, description="an item without one, or with a blank one, is not made and counts as failed (R92)"
    )
    negative_prompt: Prompt | None = None
    width: Edge | None = None
    height: Edge | None = None
    seed: Seed | None = None

    def part(self) -> ManifestItem:
        """As it travels."""
        return ManifestItem(
            name=self.name,
            group=self.group,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=self.width,
            height=self.height,
            seed=self.seed,
        )


class ManifestRequest(BaseModel):
    """Many pictures of one project as one job: given as items, or made of topic and story direction."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "channel": "deep-sea",
                    "project": "whales",
                    "topic": "the song of the whales under the ice",
                    "story_direction": "a young whale looks for its mother",
                    "next_step": "generate_videos",
                },
                {
                    "channel": "deep-sea",
                    "project": "whales",
                    "atmosphere": "Cold blue light from above.",
                    "items": [
                        {"group": "characters", "name": "old whale", "prompt": "an old whale with scars"},
                        {"group": "environments", "name": "ice field", "prompt": "an endless field of ice"},
                    ],
                    "resume": False,
                    "max_cost": "2.00",
                },
            ]
        },
    )

    channel: Word
    project: Word
    topic: Writing | None = Field(default=None, description="what the items are made of where none are given (R84)")
    story_direction: Writing | None = None
    atmosphere: Writing | None = Field(
        default=None, description="comes before every prompt (R86); made of the topic where it is missing (R85)"
    )
    items: list[ManifestItemRequest] = Field(
        default_factory=list, max_length=MOST_ITEMS, description="needed where there is no topic and no story direction"
    )
    resume: bool = Field(
        default=True, description="what is there, whole, is not made again (R89); false makes new versions (R25)"
    )
    next_step: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_NAME)] | None = Field(
        default=None, description="told with the end of the manifest (R97)"
    )
    negative_prompt: Prompt | None = None
    width: Edge | None = None
    height: Edge | None = None
    format: Literal["png", "jpeg", "webp"] = "png"
    seed: Seed | None = None
    brand_kit_id: UUID | None = None
    style_capsule_id: UUID | None = None
    template: Name | None = None
    template_version: Name | None = None
    variables: dict[Name, Variable] = Field(default_factory=dict, max_length=MAX_VARIABLES)
    route: RouteRequest = Field(default_factory=RouteRequest)
    max_cost: Decimal | None = Field(
        default=None, gt=0, le=DEAREST, decimal_places=6, description="in USD; a decimal string", examples=["2.00"]
    )
    deadline_seconds: int | None = Field(default=None, ge=1, le=LONGEST_DEADLINE)
    visibility: Literal["public", "private"] = "private"
    labels: dict[Name, LabelText] = Field(default_factory=dict, max_length=MAX_LABELS)


def order_of(request: ManifestRequest) -> Order:
    """The order that `request` comes to. Raises `InvalidRequest` when nobody here can make it."""
    _require_something(request)
    if request.template_version is not None and request.template is None:
        raise _refused("/template_version", "needs a template")
    spec = JobSpec(
        kind=Kind.IMAGE,
        negative_prompt=request.negative_prompt,
        width=request.width,
        height=request.height,
        format=request.format,
        seed=request.seed,
        template=request.template,
        template_version=request.template_version,
        variables=request.variables,
        route=Route(providers=request.route.providers, fallback=request.route.fallback),
        visibility=request.visibility,
        labels=request.labels,
        manifest=_manifest(request),
    )
    _check_sizes(request, spec)
    max_cost = micros(request.max_cost) if request.max_cost is not None else None
    return Order(
        spec,
        brand_kit_id=request.brand_kit_id,
        max_cost_micros=max_cost,
        deadline_seconds=request.deadline_seconds,
        style_capsule_id=request.style_capsule_id,
    )


def _require_something(request: ManifestRequest) -> None:
    """An empty topic is one: generic items are made of it, with a warning (R91)."""
    if not request.items and request.topic is None and request.story_direction is None:
        raise _refused("/items", "is required where there is neither a topic nor a story_direction")


def _manifest(request: ManifestRequest) -> ManifestSpec:
    return ManifestSpec(
        channel=request.channel,
        project=request.project,
        topic=request.topic,
        story_direction=request.story_direction,
        atmosphere=request.atmosphere,
        items=[item.part() for item in request.items],
        resume=request.resume,
        next_step=request.next_step,
    )


def _check_sizes(request: ManifestRequest, spec: JobSpec) -> None:
    """What passes goes into one event, here and, with the atmosphere before every prompt, at prompt-service."""
    before = len((request.atmosphere or "").encode())
    prompts = sum(before + len((item.prompt or "").encode()) for item in request.items)
    if prompts > MAX_PROMPT_BYTES:
        raise _refused("/items", f"has prompts of {prompts} bytes with the atmosphere, of {MAX_PROMPT_BYTES} at most")
    size = len(spec.model_dump_json().encode())
    if size > LARGEST_BYTES:
        raise _refused("/items", f"makes a manifest of {size} bytes, but one has at most {LARGEST_BYTES}")


def _refused(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{pointer} {detail}", errors=[FieldError(pointer, detail)])
