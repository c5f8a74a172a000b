"""The pictures of a manifest, brought into the tree that its paths make (R117)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backlot.client import Client, Job
from backlot.errors import BacklotClientError
from backlot.placing import place


@dataclass(slots=True)
class Brought:
    """What lies there now. `kept` of `files` lay there whole already; `problems`: item number → why it does not."""

    files: list[Path] = field(default_factory=list)
    kept: int = 0
    problems: dict[int, str] = field(default_factory=dict)


def bring_pictures(client: Client, job: Job, folder: Path) -> Brought:
    """Downloads every picture that a manifest's job has, made now or before, into `folder`.

    Each appears only when it is whole; one that lies there with the right SHA-256 is left alone. What goes wrong with
    one keeps no other.
    """
    brought = Brought()
    for item in job["items"]:
        if item["asset_id"] is None:
            continue
        try:
            _bring(client, item, job["manifest"], folder, brought)
        except BacklotClientError as error:
            brought.problems[item["number"]] = str(error)
    return brought


def _bring(
    client: Client, item: Mapping[str, Any], manifest: Mapping[str, Any], folder: Path, brought: Brought
) -> None:
    path = place(item["path"] or "", manifest, folder)
    if path in brought.files:
        raise BacklotClientError(f"{item['path']} is another item's picture too")
    source = _source(client, item)
    try:
        if _is_whole(path, source["sha256"]):
            brought.kept += 1
        else:
            client.download(source["url"], path, sha256=source["sha256"])
    except OSError as error:
        raise BacklotClientError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        _leave_no_empty_folder(path, folder)
    brought.files.append(path)


def _source(client: Client, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the bytes are, and their SHA-256. What was there before is another job's output."""
    found: Mapping[str, Any] = next(
        (output for output in item["outputs"] if output["role"] == "primary"), {}
    ) or client.get_asset(item["asset_id"])
    if found["url"] is None:
        raise BacklotClientError(f"{item['path']} was deleted")
    return found


def _is_whole(path: Path, sha256: str) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _leave_no_empty_folder(path: Path, folder: Path) -> None:
    with suppress(OSError):
        for parent in path.parents:
            if parent == folder:
                return
            parent.rmdir()
