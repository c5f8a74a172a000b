"""What clients may ask for, and its translation into the job that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api_gateway.inputs import INPUTS, MOST_INPUTS, InputRequest, roles_problem
from api_gateway.kinds import (
    FEWEST_TRIANGLES,
    MOST_TRIANGLES,
    RULES,
    Effect,
    Format,
    Genre,
    KindRules,
    sky_size_problem,
    takers_of,
    video_size_problem,
)
from api_gateway.money import micros
from api_gateway.orders import Order
from chassis.errors import BacklotError, FieldError
from schemas.parts import ASSET_SIZES, AssetType, JobSpec, Kind, Route, variable_text

PROMPT_LIMIT = 4000
CUSTOM_PROMPT_LIMIT = 500
MAX_COUNT = 10
MAX_LABELS = 16
MAX_VARIABLES = 32
MIN_PIXELS, MAX_PIXELS = 64, 4096
MAX_SEED = 2**31 - 1
LONGEST_DEADLINE = 7 * 24 * 3600
DEAREST = Decimal(1_000_000)


class InvalidRequest(BacklotError):
    """Well formed, and asks for what cannot be made (R71)."""

    code, status, title = "INVALID_REQUEST", 422, "This cannot be made"


def _no_null(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _safe_path(path: str) -> str:
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("must be a relative path without empty, '.' or '..' parts")
    return path


Text = Annotated[str, AfterValidator(_no_null)]
Variable = Annotated[
    Text,
    StringConstraints(max_length=CUSTOM_PROMPT_LIMIT),
    BeforeValidator(variable_text, json_schema_input_type=str | int | float | bool),
]
Word = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,100}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LabelText = Annotated[str, StringConstraints(max_length=255), AfterValidator(_no_null)]
Path = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9 ._/-]+$"),
    AfterValidator(_safe_path),
]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Prompt = Annotated[Text, StringConstraints(min_length=1, max_length=PROMPT_LIMIT), AfterValidator(_not_blank)]


_FOCUS = "where a crop has its middle, from [0, 0] at the upper left to [1, 1]"


def _taken_by(field: str, more: str = "") -> str:
    return f"for {takers_of(field)}" + (f"; {more}" if more else "")


_SIZES = "; ".join(
    f"{kind} of {rules.edges[0]} to {rules.edges[1]}" for kind, rules in RULES.items() if rules.edges is not None
)
_FORMATS = "; ".join(f"{kind}: {', '.join(rules.formats)}" for kind, rules in RULES.items()) + "; by default the first"
_INPUTS = "; ".join(f"{kind}: {', '.join(taken)}" for kind, taken in INPUTS.items())
_SPANS = "; ".join(
    f"{kind}: {rules.span.shortest:g} to {rules.span.longest:g}, by default {rules.span.usual:g}"
    for kind, rules in RULES.items()
    if rules.span is not None
)


class RouteRequest(BaseModel):
    """Which providers may be used, in order. Empty means the configured route."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    providers: list[Name] = Field(default_factory=list, max_length=8)
    fallback: bool = True


class JobRequest(BaseModel):
    """A job to be made. Fields that its kind does not take may be sent with their defaults; else they are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"kind": "image", "prompt": "a red fox in the snow at dawn", "width": 1024, "height": 768},
                {
                    "asset_type": "thumbnail",
                    "brand_kit_id": "01890000-0000-7000-8000-000000000000",
                    "prompt": "finals night",
                    "max_cost": "0.50",
                    "labels": {"scene": "12"},
                },
                {"kind": "environment_map", "prompt": "a clear evening by the sea", "width": 2048, "height": 1024},
                {"kind": "video", "prompt": "waves at dusk", "duration_seconds": 5, "width": 1280, "height": 720},
                {"kind": "sfx", "effect": "win", "prompt": "coins falling into a bowl", "duration_seconds": 1.5},
                {"kind": "music", "genre": "jazz", "prompt": "a slow evening", "duration_seconds": 30, "format": "mp3"},
                {"kind": "model_3d", "prompt": "a golden prize wheel", "max_triangles": 20000},
                {
                    "kind": "video",
                    "prompt": "the fox begins to run",
                    "inputs": [{"role": "first_frame", "asset_id": "01890000-0000-7000-8000-000000000000"}],
                },
            ]
        },
    )

    kind: str | None = Field(
        default=None,
        description="may be left out with an `asset_type`, which is an image",
        json_schema_extra={"anyOf": [{"enum": [str(kind) for kind in RULES]}, {"type": "null"}]},
    )
    asset_type: AssetType | None = Field(default=None, description="sets kind, size and template (R108)")
    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    count: int = Field(default=1, ge=1, le=MAX_COUNT)
    width: int | None = Field(default=None, ge=MIN_PIXELS, le=MAX_PIXELS, description=_taken_by("width", _SIZES))
    height: int | None = Field(default=None, ge=MIN_PIXELS, le=MAX_PIXELS, description=_taken_by("height"))
    format: Format | None = Field(default=None, description=_FORMATS)
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    fit: Literal["crop", "pad", "exact_only"] = "crop"
    focus: tuple[Share, Share] | None = Field(default=None, description=_taken_by("focus", _FOCUS))
    tileable: bool | None = Field(default=None, description=_taken_by("tileable", "true unless it is said to be false"))
    duration_seconds: float | None = Field(default=None, allow_inf_nan=False, description=_SPANS)
    loop: bool = Field(default=False, description=_taken_by("loop", "the end meets the beginning"))
    instrumental: bool = Field(default=True, description=_taken_by("instrumental", "no voices"))
    genre: Genre | None = Field(default=None, description=_taken_by("genre", "may stand in for a prompt"))
    effect: Effect | None = Field(default=None, description=_taken_by("effect", "may stand in for a prompt"))
    max_triangles: int = Field(
        default=50_000,
        ge=FEWEST_TRIANGLES,
        le=MOST_TRIANGLES,
        description=_taken_by("max_triangles", "a result with more is flagged, not refused (R55)"),
    )
    inputs: list[InputRequest] = Field(
        default_factory=list, max_length=MOST_INPUTS, description="what it builds on: " + _INPUTS
    )
    brand_kit_id: UUID | None = None
    style_capsule_id: UUID | None = Field(
        default=None, description=_taken_by("style_capsule_id", "a visual style, laid over the prompt (R107)")
    )
    template: Name | None = None
    template_version: Name | None = None
    variables: dict[Name, Variable] = Field(default_factory=dict, max_length=MAX_VARIABLES)
    route: RouteRequest = Field(default_factory=RouteRequest)
    max_cost: Decimal | None = Field(
        default=None, gt=0, le=DEAREST, decimal_places=6, description="in USD; a decimal string", examples=["0.50"]
    )
    deadline_seconds: int | None = Field(default=None, ge=1, le=LONGEST_DEADLINE)
    visibility: Literal["public", "private"] = "private"
    path: Path | None = Field(default=None, description="the asset's logical name, without the tenant")
    run: Word | None = None
    labels: dict[Name, LabelText] = Field(default_factory=dict, max_length=MAX_LABELS)
    webhook_url: str | None = Field(default=None, description="not possible: use /api/v1/webhooks")


class GenerateRequest(BaseModel):
    """The Studio's short form (R2)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "asset_type": "thumbnail",
                    "brand_kit_id": "01890000-0000-7000-8000-000000000000",
                    "custom_prompt": "finals night, two rivals face to face",
                }
            ]
        },
    )

    asset_type: AssetType
    brand_kit_id: UUID
    custom_prompt: (
        Annotated[Text, StringConstraints(min_length=1, max_length=CUSTOM_PROMPT_LIMIT), AfterValidator(_not_blank)]
        | None
    ) = None

    def job(self) -> JobRequest:
        """The same as a job request."""
        return JobRequest(asset_type=self.asset_type, brand_kit_id=self.brand_kit_id, prompt=self.custom_prompt)


def translate(request: JobRequest) -> Order:
    """The order that `request` comes to. Raises `InvalidRequest` when nobody here can make it."""
    kind = _kind(request)
    rules = RULES[kind]
    _refuse_what_means_nothing(request, kind)
    width, height = _size(request, kind, rules)
    _require_a_subject(request, kind, rules)
    if problem := roles_problem(kind, request.inputs):
        raise _refused(*problem)
    if request.template_version is not None and request.template is None and request.asset_type is None:
        raise _refused("/template_version", "needs a template")
    spec = JobSpec(
        kind=kind,
        asset_type=request.asset_type,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        count=request.count,
        width=width,
        height=height,
        format=_format(request, kind, rules),
        seed=request.seed,
        fit=request.fit,
        focus=request.focus,
        tileable=kind is Kind.TEXTURE and request.tileable is not False,
        duration_seconds=_seconds(request, kind, rules),
        loop=request.loop,
        instrumental=request.instrumental,
        genre=request.genre,
        effect=request.effect,
        max_triangles=request.max_triangles if kind is Kind.MODEL_3D else None,
        inputs=[given.part() for given in request.inputs],
        template=request.template,
        template_version=request.template_version,
        variables=request.variables,
        route=Route(providers=request.route.providers, fallback=request.route.fallback),
        visibility=request.visibility,
        path=request.path,
        run=request.run,
        labels=request.labels,
    )
    max_cost = micros(request.max_cost) if request.max_cost is not None else None
    return Order(spec, request.brand_kit_id, max_cost, request.deadline_seconds, request.style_capsule_id)


_BY_NAME = {str(kind): kind for kind in RULES}


def _kind(request: JobRequest) -> Kind:
    if request.kind is None and request.asset_type is None:
        raise _refused("/kind", f"is required where there is no asset_type; the kinds there are: {', '.join(RULES)}")
    kind = Kind.IMAGE if request.kind is None else _BY_NAME.get(request.kind)
    if kind is None:
        raise _refused(
            "/kind", f"'{str(request.kind)[:40]}' cannot be made here; the kinds there are: {', '.join(RULES)}"
        )
    if request.asset_type is not None and kind is not Kind.IMAGE:
        raise _refused("/kind", f"an asset of type {request.asset_type} is of kind {Kind.IMAGE}")
    return kind


_NOT_HERE = {"webhook_url": "cannot be given with a job: register an address at /api/v1/webhooks instead"}
_OF_SOME_KINDS = frozenset[str]().union(*(rules.fields for rules in RULES.values()))
_NOT_TAKEN = {kind: (_OF_SOME_KINDS - rules.fields) | _NOT_HERE.keys() for kind, rules in RULES.items()}


def _refuse_what_means_nothing(request: JobRequest, kind: Kind) -> None:
    """Sent with their defaults these fields mean nothing; otherwise somebody would wait for what never comes."""
    for name in sorted(request.model_fields_set & _NOT_TAKEN[kind]):
        value = getattr(request, name)
        if value == JobRequest.model_fields[name].get_default(call_default_factory=True):
            continue
        if name == "tileable" and value is False:
            continue
        raise _refused(f"/{name}", _NOT_HERE.get(name) or f"is for {takers_of(name)}")


def _require_a_subject(request: JobRequest, kind: Kind, rules: KindRules) -> None:
    if request.prompt is not None or request.asset_type is not None or request.template is not None:
        return
    if not any(getattr(request, name) for name in rules.subject):
        others = " or ".join(sorted(rules.subject | {"template"}))
        detail = "neither asset_type nor template" if kind is Kind.IMAGE else f"no {others}"
        raise _refused("/prompt", f"is required where there is {detail}")


def _format(request: JobRequest, kind: Kind, rules: KindRules) -> str:
    if request.format is None:
        return rules.formats[0]
    if request.format not in rules.formats:
        raise _refused("/format", f"of {kind} is {', '.join(rules.formats)}, not {request.format}")
    return request.format


def _seconds(request: JobRequest, kind: Kind, rules: KindRules) -> float | None:
    span, asked = rules.span, request.duration_seconds
    if span is None:
        return None
    if asked is None:
        return span.usual
    if not span.shortest <= asked <= span.longest:
        raise _refused("/duration_seconds", f"of {kind} is {span.shortest:g} to {span.longest:g}, not {asked:g}")
    return asked


def _size(request: JobRequest, kind: Kind, rules: KindRules) -> tuple[int | None, int | None]:
    if request.asset_type is None:
        _check_edges(request, kind, rules)
        return request.width, request.height
    width, height = ASSET_SIZES[request.asset_type]
    if request.width not in {None, width}:
        raise _refused("/width", f"a {request.asset_type} is {width}x{height}")
    if request.height not in {None, height}:
        raise _refused("/height", f"a {request.asset_type} is {width}x{height}")
    return width, height


def _refused(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{pointer} {detail}", errors=[FieldError(pointer, detail)])


_SHAPED: Mapping[Kind, tuple[str, Callable[[int, int], str | None]]] = {
    Kind.VIDEO: ("a video", video_size_problem),
    Kind.ENVIRONMENT_MAP: ("an environment map", sky_size_problem),
}
"""Kinds that are made in some shapes alone: in words, and why a size is none of them."""


def _check_edges(request: JobRequest, kind: Kind, rules: KindRules) -> None:
    if rules.edges is None:
        return
    shortest, longest = rules.edges
    given = {name: edge for name, edge in (("width", request.width), ("height", request.height)) if edge is not None}
    for name, edge in given.items():
        if not shortest <= edge <= longest:
            raise _refused(f"/{name}", f"of {kind} is {shortest} to {longest} pixels, not {edge}")
    if kind not in _SHAPED or not given:
        return
    what, problem_of = _SHAPED[kind]
    if request.width is None or request.height is None:
        [name] = {"width", "height"} - given.keys()
        raise _refused(f"/{name}", f"is needed beside {', '.join(given)}: the two make the shape of {what}")
    if problem := problem_of(request.width, request.height):
        raise _refused("/width", problem)
