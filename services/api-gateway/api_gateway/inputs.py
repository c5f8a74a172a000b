"""What a job may build on: which inputs each kind takes, and whether an asset can be one (R47, R54)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.parts import MAX_INPUT_BYTES, Input, InputRole, Kind

MOST_INPUTS = 8
LONGEST_URL = 2048

PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})
_MASKS = frozenset({"image/png"})
_MODELS = frozenset({"model/gltf-binary"})


def public_address(url: str) -> str:
    """`url`, where it can be fetched as an input. Raises `ValueError` for any other."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and not parts.username and not parts.password
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be an https address, without a password")
    return url


class InputRequest(BaseModel):
    """Something the job builds on: an asset of yours (`POST /api/v1/uploads`, or one that was made), or an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: InputRole
    asset_id: UUID | None = None
    url: Annotated[str, StringConstraints(max_length=LONGEST_URL), AfterValidator(public_address)] | None = Field(
        default=None, description="fetched when its turn has come, over https, from public addresses alone"
    )

    @model_validator(mode="after")
    def _one_source(self) -> InputRequest:
        if (self.asset_id is None) == (self.url is None):
            raise ValueError("needs either an asset_id or a url")
        return self

    def part(self) -> Input:
        """As it travels."""
        return Input(role=self.role, asset_id=self.asset_id, url=self.url)


@dataclass(frozen=True, slots=True)
class Taken:
    """At most `most` inputs of a role, of these media types; only beside another role, or only without it."""

    most: int = 1
    media: frozenset[str] = PICTURES
    beside: InputRole | None = None
    without: InputRole | None = None


INPUTS: Mapping[Kind, Mapping[InputRole, Taken]] = {
    Kind.IMAGE: {"reference": Taken(4), "style": Taken(), "mask": Taken(media=_MASKS, beside="reference")},
    Kind.TEXTURE: {"reference": Taken(4), "style": Taken()},
    Kind.VIDEO: {
        "first_frame": Taken(),
        "last_frame": Taken(beside="first_frame"),
        "reference": Taken(without="first_frame"),
    },
    Kind.MODEL_3D: {
        "reference": Taken(without="model"),
        "model": Taken(media=_MODELS),
        "style": Taken(beside="model"),
    },
}
"""What each kind takes; a kind that is not here takes nothing."""


def roles_problem(kind: Kind, inputs: Sequence[InputRequest]) -> tuple[str, str] | None:
    """Pointer and words, where inputs in these roles make no sense for `kind`."""
    taken, counted = INPUTS.get(kind, {}), Counter(given.role for given in inputs)
    for number, given in enumerate(inputs):
        pointer, rule = f"/inputs/{number}/role", taken.get(given.role)
        if rule is None:
            return pointer, f"of {kind} is {', '.join(taken)}, not {given.role}" if taken else f"{kind} takes no inputs"
        if counted[given.role] > rule.most:
            return pointer, f"{given.role} is there {counted[given.role]} times, but {kind} takes {rule.most}"
        if rule.beside is not None and not counted[rule.beside]:
            return pointer, f"{given.role} needs a {rule.beside} beside it"
        if rule.without is not None and counted[rule.without]:
            return pointer, f"{given.role} and {rule.without} exclude each other"
    return None


@dataclass(frozen=True, slots=True)
class KnownAsset:
    """What must be known of an asset to build on it. Sizes are bytes and pixels."""

    user_id: UUID
    mime: str
    sha256: str
    size: int
    width: int | None
    height: int | None


def media_problem(kind: Kind, inputs: Sequence[Input], known: Sequence[KnownAsset | None]) -> tuple[str, str] | None:
    """Pointer and words, where an asset is not what its role wants. `known` is None for an address."""
    picture = next((asset for given, asset in zip(inputs, known, strict=True) if given.role == "reference"), None)
    for number, (given, asset) in enumerate(zip(inputs, known, strict=True)):
        if asset is None:
            continue
        pointer, media = f"/inputs/{number}/asset_id", INPUTS[kind][given.role].media
        if asset.mime not in media:
            return pointer, f"is {asset.mime}, but a {given.role} is {', '.join(sorted(media))}"
        if asset.size > MAX_INPUT_BYTES:
            return pointer, f"has {asset.size} bytes, but an input has at most {MAX_INPUT_BYTES}"
        if given.role == "mask" and picture and (asset.width, asset.height) != (picture.width, picture.height):
            size, wanted = f"{asset.width}x{asset.height}", f"{picture.width}x{picture.height}"
            return pointer, f"is {size}, but a mask has the size of its reference, {wanted}"
    return None


def resolved(given: Input, asset: KnownAsset | None) -> Input:
    """An input with what is known of its asset."""
    if asset is None:
        return given
    return given.model_copy(update={"mime": asset.mime, "sha256": asset.sha256, "size": asset.size})
