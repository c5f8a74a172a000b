"""Logical names: what people call an asset. The bytes live under their hash, a name only points at them (R121).

The default layout is `{tenant}/{run}/{artifact type}/{file name}` (R114). A name that came with folders of its own, or
that a client chose, is kept as it is below the tenant.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from storage_service.content_types import EXTENSIONS, content_type, type_of_extension

LONGEST_NAME = 255
CUT_TO = 200
LONGEST_PATH_BYTES = 1024
MOST_FOLDERS = 12

_NO_JOB = UUID(int=0)
_PLAIN = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_-])?")
_SPACES = re.compile(r"\s+")
_SPECIALS = re.compile(r"[^\w.-]")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True)
class Placement:
    """What decides where an output is put.

    `artifact_type` is its asset type or, without one, its kind; `chosen` says that the client named the path himself.
    """

    tenant_id: UUID
    job_id: UUID
    run: str | None
    artifact_type: str
    name: str
    mime: str
    role: str
    output: int
    late_attempt: int | None = None
    chosen: bool = False


def logical_path(place: Placement) -> str:
    """The logical name of an output, safe in every segment and the same each time it is asked for."""
    *folders, name = _segments(place.name, str(place.tenant_id)) or [""]
    if not folders and not place.chosen:
        folders = [safe_name(place.run or str(place.job_id)), safe_name(place.artifact_type)]
    return _fitting([str(place.tenant_id), *folders[:MOST_FOLDERS], file_name(name, place)])


def path_of_name(tenant_id: UUID, name: str) -> str:
    """The path that the primary output of this logical name is given; its type is the one its extension stands for."""
    mime = type_of_extension(_split(name)[1])
    return logical_path(Placement(tenant_id, _NO_JOB, None, "", name, mime, "primary", 0, chosen=True))


def file_name(name: str, place: Placement) -> str:
    """`name` with the extension of its type; what is not the item's primary output says so in its name."""
    stem = safe_name(_without_extension(name) or place.artifact_type)
    marks = [] if place.late_attempt is None else [f"late_{place.late_attempt}"]
    if place.role == "thumbnail":
        marks.append("thumbnail")
    elif place.role != "primary":
        marks.append(f"{place.role}_{place.output}")
    return safe_name("_".join([stem, *marks]) + content_type(place.mime).extension)


def safe_name(text: str) -> str:
    """One segment of a path: spaces become `_`, specials go, no more than 255 characters (R95, R96).

    Letters and digits of every script stay. A segment of which nothing is left, or that is too long, carries a hash of
    all that it was.
    """
    if _PLAIN.fullmatch(text):  # what is below would leave it as it is
        return text
    plain = _SPACES.sub("_", unicodedata.normalize("NFC", text).strip())
    kept = unicodedata.normalize("NFC", _SPECIALS.sub("", plain)).strip(".")
    if not kept:
        return f"unnamed_{_hash(text)}"
    if len(kept) <= LONGEST_NAME:
        return kept
    stem, extension = _split(kept)
    return f"{stem[:CUT_TO].rstrip('.')}_{_hash(text)}{extension}"


def is_overlong(name: str) -> bool:
    """Whether a segment of `name` is longer than names may be, which deserves a warning (R95)."""
    return any(len(segment) > LONGEST_NAME for segment in name.split("/"))


def numbered(path: str, number: int) -> str:
    """`a/b.png` → `a/b_2.png`: the name for another thing that wants a name already taken (R96)."""
    folder, slash, name = path.rpartition("/")
    stem, extension = _split(name)
    name = safe_name(f"{stem}_{number}{extension}")
    return _fitting([*folder.split("/"), name]) if slash else name


def _segments(name: str, tenant: str) -> list[str]:
    parts = [part for part in name.replace("\\", "/").split("/") if part.strip(" .")]
    if len(parts) > 1 and parts[0] == tenant:
        parts = parts[1:]
    return [*map(safe_name, parts[:-1]), *parts[-1:]]


def _fitting(segments: list[str]) -> str:
    path = "/".join(segments)
    if len(path.encode()) <= LONGEST_PATH_BYTES:
        return path
    stem, extension = _split(segments[-1])
    return "/".join([segments[0], _hash(path), f"{stem[:CUT_TO]}_{_hash(path)}{extension}"])


def _split(name: str) -> tuple[str, str]:
    found = _EXTENSION.search(name)
    if found is None or found.start() == 0:
        return name, ""
    return name[: found.start()], found.group()


def _without_extension(name: str) -> str:
    stem, extension = _split(name)
    return stem if extension.lower() in EXTENSIONS else name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
