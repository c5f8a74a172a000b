"""The stored outputs of a job, as the newest revision of each asset shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from api_gateway.facts import Fact, FactKind

THUMBNAIL = "thumbnail"
_ORDER = {"primary": 0, "variant": 1, "texture_map": 2, THUMBNAIL: 3}


class Output(NamedTuple):
    """One stored output. Sizes are bytes and pixels, the duration seconds; `stored_at` is RFC 3339."""

    asset_id: UUID
    item: int
    attempt: int
    number: int
    role: str
    late: bool
    version: int
    revision: int
    url: str
    is_public: bool
    deleted: bool
    logical_name: str
    sha256: str
    mime: str
    file_size: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    stored_at: str


def stored(facts: Sequence[Fact], revisions: Mapping[str, Fact]) -> list[Output]:
    """The outputs that `facts` say were stored, the primary first."""
    found = [_output(fact, revisions) for fact in facts]
    return sorted(found, key=lambda output: (_ORDER[output.role], output.attempt, output.number))


def thumbnail_of(output: Output, among: Sequence[Output]) -> Output | None:
    """The small picture that was stored with an output, if it was not deleted."""
    of = (output.item, output.attempt)
    found = (other for other in among if other.role == THUMBNAIL and (other.item, other.attempt) == of)
    return next((other for other in found if not other.deleted), None)


def _output(fact: Fact, revisions: Mapping[str, Fact]) -> Output:
    body = fact.body
    newest = revisions.get(body["asset_id"], fact)
    shown = newest.body if newest.kind is FactKind.VISIBILITY else body
    return Output(
        asset_id=UUID(body["asset_id"]),
        item=fact.item,
        attempt=fact.attempt,
        number=fact.output,
        role=body["role"],
        late=body["late"],
        version=body["version"],
        revision=newest.body["revision"],
        url=shown["url"],
        is_public=shown["is_public"],
        deleted=newest.kind is FactKind.DELETED,
        logical_name=body["logical_name"],
        sha256=body["sha256"],
        mime=body["mime"],
        file_size=body["file_size"],
        width=body["width"],
        height=body["height"],
        duration_seconds=body["duration_seconds"],
        stored_at=body["at"],
    )
