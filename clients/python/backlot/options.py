"""Options that several commands have. What is wrong with one ends the command with status 2."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Size = Annotated[str | None, typer.Option(help="Width and height, like 1024x768.")]


def picture_size(size: str | None) -> dict[str, int]:
    """What `--size` says, as a job takes it; nothing where it is left out."""
    if size is None:
        return {}
    width, _, height = size.lower().partition("x")
    if not all(part.isascii() and part.isdigit() for part in (width, height)):
        raise typer.BadParameter(f"--size {size} is not like 1024x768")
    return {"width": int(width), "height": int(height)}


def pairs(option: str, given: list[str]) -> dict[str, str]:
    """What each `NAME=VALUE` of that option says."""
    parted = {name: value for name, equals, value in (one.partition("=") for one in given) if name and equals}
    if len(parted) < len(given):
        raise typer.BadParameter(f"{option} is like scene=12, each name once")
    return parted
