"""Values that several events share. Money is integer micro-units of `currency`; sizes are pixels and bytes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Part

MAX_PROMPT_BYTES = 512 * 1024
"""At most this many bytes of prompts travel in one event; more is refused at the door."""


def variable_text(value: Any) -> Any:
    """A value of a template's variable as it travels, a text: JSON and YAML have numbers and truth values of their own.

    For a validator that comes before that of `str`. Raises `ValueError` for a number that is not finite.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("must be a finite number")
    return str(value) if isinstance(value, int | float) else value


class Kind(StrEnum):
    """The kinds of media."""

    IMAGE = "image"
    TEXTURE = "texture"
    ENVIRONMENT_MAP = "environment_map"
    VIDEO = "video"
    SFX = "sfx"
    MUSIC = "music"
    MODEL_3D = "model_3d"


class AssetType(StrEnum):
    """The Studio's asset types (R2, R108)."""

    THUMBNAIL = "thumbnail"
    OVERLAY = "overlay"
    BANNER = "banner"
    STORY_GRAPHIC = "story_graphic"
    CLIP_COVER = "clip_cover"


ASSET_SIZES: dict[AssetType, tuple[int, int]] = {
    AssetType.THUMBNAIL: (1280, 720),
    AssetType.OVERLAY: (1920, 1080),
    AssetType.BANNER: (1200, 480),
    AssetType.STORY_GRAPHIC: (1080, 1920),
    AssetType.CLIP_COVER: (1080, 1080),
}
"""Width and height of each asset type in pixels; the stored file has exactly these (R108)."""


class Stage(StrEnum):
    """Where a job is while it is processing (R17)."""

    PROMPTING = "prompting"
    GENERATING = "generating"
    UPLOADING = "uploading"
    PERSISTING = "persisting"


class ErrorCode(StrEnum):
    """Why an item or a job failed (R71)."""

    AUTH_ERROR = "AUTH_ERROR"
    RATE_LIMIT = "RATE_LIMIT"
    CONTENT_POLICY = "CONTENT_POLICY"
    TEMPORARY = "TEMPORARY"
    TIMEOUT = "TIMEOUT"
    INVALID_REQUEST = "INVALID_REQUEST"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    CORRUPT_OUTPUT = "CORRUPT_OUTPUT"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    STORAGE_ERROR = "STORAGE_ERROR"
    SUBMIT_UNKNOWN = "SUBMIT_UNKNOWN"
    CANCELLED = "CANCELLED"


class VersionRef(Part):
    """A brand kit or style capsule, pinned to the version the job was accepted with."""

    id: UUID
    version: int


class Route(Part):
    """Which providers may be used, in order; empty means the configured route."""

    providers: list[str] = Field(default_factory=list)
    fallback: bool = True


InputRole = Literal["reference", "first_frame", "last_frame", "mask", "model", "style"]

MAX_INPUT_BYTES = 20 * 1024 * 1024
"""The largest picture that something is made of, and the largest 3D model."""


class Input(Part):
    """What a job builds on: an asset of its tenant, or an address that is fetched when the item is made.

    `mime`, `sha256` and `size` in bytes are the asset's; of an address nobody knows them yet.
    """

    role: InputRole
    asset_id: UUID | None = None
    url: str | None = None
    mime: str | None = None
    sha256: str | None = None
    size: int | None = None


class ManifestItem(Part):
    """One picture of a manifest, as it was asked for. Without a prompt, or with a blank one, it is not made (R92).

    What is None is the manifest's own.
    """

    name: str
    group: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None


class ManifestSpec(Part):
    """Many pictures of one project as one job (R83): their items are given, or made of topic and story direction (R84).

    `atmosphere` comes before every prompt (R86); None: it is made of the topic (R85). `resume`: what is there, whole,
    under its logical name is not made again (R88). `next_step` is told when the manifest has ended (R97).
    """

    channel: str
    project: str
    topic: str | None = None
    story_direction: str | None = None
    atmosphere: str | None = None
    items: list[ManifestItem] = Field(default_factory=list)
    resume: bool = True
    next_step: str | None = None


class JobSpec(Part):
    """What the client asked for, after its dialect was translated.

    The gateway has filled in what the kind needs; what another kind needs stays as it is here and means nothing.
    `manifest`: the job is one of many pictures, and what else stands here is theirs together.
    """

    kind: Kind
    asset_type: AssetType | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    count: int = 1
    width: int | None = None
    height: int | None = None
    format: str = "png"
    seed: int | None = None
    fit: Literal["crop", "pad", "exact_only"] = "crop"
    focus: tuple[float, float] | None = None
    tileable: bool = False
    duration_seconds: float | None = None
    loop: bool = False
    instrumental: bool = True
    genre: str | None = None
    effect: str | None = None
    max_triangles: int | None = None
    inputs: list[Input] = Field(default_factory=list)
    template: str | None = None
    template_version: str | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    route: Route = Route()
    visibility: Literal["public", "private"] = "private"
    path: str | None = None
    run: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    manifest: ManifestSpec | None = None


class AssetContext(Part):
    """What storage-service writes beside the bytes of every output of the job, known once its prompts are.

    `channel` and `project` are a manifest's.
    """

    user_id: UUID
    kind: Kind
    asset_type: AssetType | None = None
    visibility: Literal["public", "private"] = "private"
    brand_kit: VersionRef | None = None
    style_capsule: VersionRef | None = None
    path: str | None = None
    run: str | None = None
    channel: str | None = None
    project: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class PreparedItem(Part):
    """One item's finished prompt. `blank` marks an item that had no prompt (R92): it is never generated.

    `width` and `height` are 0 where the kind has no pixels, `duration_seconds` and `max_triangles` (an upper bound,
    R55) are None where it has no length or no mesh. `focus` is the point that a crop keeps nearest to its middle, as
    shares of width and height; None: the middle. `tileable` is for textures, `loop` for videos and sound effects,
    `effect` for sound effects, `genre` and `instrumental` for music.
    """

    number: int
    name: str | None = None
    group: str | None = None
    logical_name: str
    prompt: str
    negative_prompt: str | None = None
    kind: Kind
    width: int = 0
    height: int = 0
    format: str
    seed: int | None = None
    fit: Literal["crop", "pad", "exact_only"] = "crop"
    focus: tuple[float, float] | None = None
    tileable: bool = False
    duration_seconds: float | None = None
    loop: bool = False
    instrumental: bool = True
    genre: str | None = None
    effect: str | None = None
    max_triangles: int | None = None
    inputs: list[Input] = Field(default_factory=list)
    template: str
    template_version: str
    template_sha256: str
    prompt_sha256: str
    headline: str | None = None
    palette: list[str] = Field(default_factory=list)
    blank: bool = False
    warnings: list[str] = Field(default_factory=list)


class QuotedItem(Part):
    """The upper bound of one item's next attempt at its first usable route."""

    number: int
    provider: str
    model: str
    amount_micros: int = Field(ge=0)


class Billing(Part):
    """What an attempt cost: nothing, a final amount, or not yet known (the hold is then kept)."""

    state: Literal["none", "final", "pending"]
    amount_micros: int = Field(default=0, ge=0)
    basis: Literal["estimated", "reported", "priced_from_usage"] = "reported"


class Fit(Part):
    """How native pixels became the asked ones."""

    native_width: int
    native_height: int
    method: Literal["none", "crop", "pad"]
    scale: float = 1.0
    crop_share: float = 0.0


class Marking(Part):
    """How a file itself says that a machine made it. `digital_source_type` is IPTC's word, `place` where it stands.

    `signed`: the file has content credentials (C2PA); `why_not` says why it has none.
    """

    digital_source_type: str
    place: str
    signed: bool = False
    why_not: str | None = None


class Output(Part):
    """Bytes that were staged and checked. `content_sha256` is taken before signing, `sha256` is of what is stored."""

    number: int
    role: Literal["primary", "variant", "texture_map", "thumbnail"] = "primary"
    staged_key: str
    sha256: str
    content_sha256: str
    size: int
    mime: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    marking: Marking | None = None


class Lineage(Part):
    """Which prompt made an asset: enough to make it again or to audit it. `generated_at`: its provider was asked."""

    template: str
    template_version: str
    template_sha256: str
    prompt_sha256: str
    provider: str
    model: str
    seed: int | None = None
    generated_at: datetime | None = None


class Requester(Part):
    """With what another platform asked for the job: echoed, so that it can match the answer."""

    source: str
    id: str
    idempotencykey: str | None = None
