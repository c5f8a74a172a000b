"""Folders that files are saved to, and where in them a picture belongs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backlot.errors import BacklotClientError

_DEPTH = 7
"""Parts of `channels/{channel}/projects/{project}/assets/{group}/{name}.png`."""


class OutsideOfTree(BacklotClientError):
    """A path that is not one of a manifest's pictures."""


def ready(folder: Path) -> None:
    """Made and tried before anything is paid for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BacklotClientError(
            f"nothing can be written to {folder}: {error.strerror}; choose another --output"
        ) from error


def place(path: str, manifest: Mapping[str, Any], folder: Path) -> Path:
    """Where the picture with that path lies below `folder` (R117).

    Raises `OutsideOfTree` for any other path, and where a symbolic link on the way leads out of `folder`: what a
    gateway answers is not to say which files of this machine are written.
    """
    fixed = ["channels", manifest["channel"], "projects", manifest["project"], "assets"]
    parts = path.split("/")
    if len(parts) != _DEPTH or parts[: len(fixed)] != fixed or not all(map(_is_name, parts)):
        raise OutsideOfTree(f"{path!r} is no path of a picture of {manifest['channel']}/{manifest['project']}")
    found = folder.joinpath(*parts)
    if not _real(found.parent).is_relative_to(_real(folder)):
        raise OutsideOfTree(f"{found.parent} leads out of {folder}")
    return found


def _is_name(part: str) -> bool:
    return part not in {"", ".", ".."} and part.isprintable() and "\\" not in part


def _real(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:
        raise OutsideOfTree(f"{folder} leads nowhere: {error}") from error
