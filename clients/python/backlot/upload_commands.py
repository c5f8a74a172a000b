"""Files that something is made of: the command `upload`, and what `generate --input` means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from backlot.client import Client
from backlot.connection import as_json, connect
from backlot.errors import BacklotClientError
from backlot.showing import OUT


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures, models, videos or sounds.")],
    as_object: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Bring files of your own, and print the ids of their assets: what `generate --input` takes."""
    with connect() as client:
        assets = [client.upload(file) for file in files]
    if as_object:
        sys.stdout.write(as_json(assets) + "\n")
        return
    for file, asset in zip(files, assets, strict=True):
        OUT.print(f"{asset['id']}  {asset['mime']}  {file}", markup=False)


def inputs_of(client: Client, given: Sequence[str]) -> list[dict[str, Any]]:
    """`ROLE=FILE`, `ROLE=ASSET-ID` or `ROLE=URL`, each as a job takes it; files are uploaded."""
    return [_input(client, *_parted(one)) for one in given]


def _parted(given: str) -> tuple[str, str]:
    role, equals, value = given.partition("=")
    if not (role and equals and value):
        raise BacklotClientError(f"--input {given} is not like reference=fox.png, reference=ASSET-ID or reference=URL")
    return role, value


def _input(client: Client, role: str, value: str) -> dict[str, Any]:
    if "://" in value:
        return {"role": role, "url": value}
    try:
        return {"role": role, "asset_id": str(UUID(value))}
    except ValueError:
        return {"role": role, "asset_id": client.upload(Path(value))["id"]}


def register(app: typer.Typer) -> None:
    """Puts the command into `app`."""
    app.command()(upload)
