"""Which jobs a list is of, and which page of it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from api_gateway.lifecycle import Status
from chassis.errors import FieldError, Invalid
from schemas.parts import AssetType, Kind

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_OFFSET = 1_000_000
LABEL = "label."
_LABEL_NAME = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_ALWAYS = frozenset({"status", "limit", "offset", "cursor"})
_KNOWN = _ALWAYS | {"kind", "asset_type", "created_after", "created_before"}
_KNOWN_OF_MANIFESTS = _ALWAYS | {"channel", "project"}
_WORD = re.compile(r"^[a-zA-Z0-9_-]{1,100}$")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list of jobs, newest first. `before` is the id the page begins below; `manifests`: of those alone."""

    status: Status | None = None
    kind: Kind | None = None
    asset_type: AssetType | None = None
    labels: Mapping[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    before: UUID | None = None
    manifests: bool = False
    channel: str | None = None
    project: str | None = None


def page_of(query: Sequence[tuple[str, str]]) -> Page:
    """The page that a query string asks for. Raises `Invalid` naming every parameter at fault."""
    given = dict(query)
    labels = {name[len(LABEL) :]: value for name, value in query if name.startswith(LABEL)}
    problems = _unknown([name for name in given if not name.startswith(LABEL)], _KNOWN)
    problems += [
        FieldError(f"/query/{LABEL}{name}", "is no label")
        for name, value in labels.items()
        if not _LABEL_NAME.match(name) or "\x00" in value
    ]
    reader = _Reader(given, problems)
    page = Page(
        status=reader.choice("status", Status),
        kind=reader.choice("kind", Kind),
        asset_type=reader.choice("asset_type", AssetType),
        labels=labels,
        created_after=reader.time("created_after"),
        created_before=reader.time("created_before"),
        limit=reader.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        offset=reader.number("offset", 0, 0, MAX_OFFSET),
        before=reader.cursor("cursor"),
    )
    return _checked(page, problems)


def manifest_page_of(query: Sequence[tuple[str, str]]) -> Page:
    """The page of manifests alone that a query string asks for. Raises `Invalid` as `page_of` does."""
    given = dict(query)
    problems = _unknown(list(given), _KNOWN_OF_MANIFESTS)
    reader = _Reader(given, problems)
    page = Page(
        status=reader.choice("status", Status),
        limit=reader.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        offset=reader.number("offset", 0, 0, MAX_OFFSET),
        before=reader.cursor("cursor"),
        manifests=True,
        channel=reader.word("channel"),
        project=reader.word("project"),
    )
    return _checked(page, problems)


def _unknown(names: Sequence[str], known: Collection[str]) -> list[FieldError]:
    return [FieldError(f"/query/{name}", "is not a known parameter") for name in names if name not in known]


def _checked(page: Page, problems: list[FieldError]) -> Page:
    if page.before is not None and page.offset:
        problems.append(FieldError("/query/offset", "cannot be used with a cursor"))
    if problems:
        raise Invalid(f"{problems[0].pointer} {problems[0].detail}", errors=problems)
    return page


def cursor_of(job_id: UUID) -> str:
    """The cursor of the page that begins after `job_id`; opaque to clients."""
    return urlsafe_b64encode(job_id.bytes).rstrip(b"=").decode()


@dataclass(slots=True)
class _Reader:
    """Reads parameters and collects what is wrong with them."""

    given: Mapping[str, str]
    problems: list[FieldError]

    def fault(self, name: str, detail: str) -> None:
        self.problems.append(FieldError(f"/query/{name}", detail))

    def choice(self, name: str, choices: type[T]) -> T | None:
        text = self.given.get(name)
        if text is None:
            return None
        try:
            return choices(text)  # type: ignore[call-arg] # an enum looks its members up by value
        except ValueError:
            self.fault(name, "must be one of " + ", ".join(str(choice) for choice in choices))  # type: ignore[attr-defined]
            return None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.given.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            self.fault(name, f"must be a number from {least} to {most}")
            return default
        return int(text)

    def word(self, name: str) -> str | None:
        text = self.given.get(name)
        if text is not None and not _WORD.fullmatch(text):
            self.fault(name, f"must match {_WORD.pattern}")
        return text

    def time(self, name: str) -> datetime | None:
        text = self.given.get(name)
        if text is None:
            return None
        try:
            # A plus sign in a query string is a space to those who decode it.
            moment = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            self.fault(name, "must be a time such as 2030-01-31T12:00:00Z (RFC 3339)")
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def cursor(self, name: str) -> UUID | None:
        text = self.given.get(name)
        if text is None:
            return None
        try:
            return UUID(bytes=urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError:
            self.fault(name, "is not a cursor of ours")
            return None
