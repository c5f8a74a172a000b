"""Commands about templates: their list, and preview, which shows the prompt that a job would get."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from backlot.connection import as_json, connect
from backlot.options import Json, pairs
from backlot.showing import ERR, OUT, table

templates = typer.Typer(help="Show what prompts are made from.")


@templates.callback(invoke_without_command=True)
def show_templates(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="Only those that make this kind of media.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 100,
    as_object: Json = False,
) -> None:
    """List templates, those that come with Backlot first; `preview` shows the prompt that one makes."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        page = client.list_templates(kind=kind, limit=limit)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(t["name"], t["version"], t["kind"], t["origin"], " ".join(t["placeholders"])) for t in page["items"]]
    table(("template", "version", "makes", "origin", "slots"), rows)
    OUT.print(f"{len(rows)} of {page['total']}")


@templates.command()
def preview(
    name: str,
    prompt: Annotated[str | None, typer.Argument(help="What is to be seen or heard.")] = None,
    version: Annotated[str | None, typer.Option(help="Like v1.1. Default: v1.0.")] = None,
    brand_kit: Annotated[str | None, typer.Option(help="Id of the brand kit (`backlot kits`).")] = None,
    style_capsule: Annotated[str | None, typer.Option(help="Id of the style capsule.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For a slot. Several: once more.")
    ] = None,
    as_object: Json = False,
) -> None:
    """Show the prompt that a job would get; nothing is made and nothing is spent."""
    wanted = {
        "template_version": version,
        "prompt": prompt,
        "brand_kit_id": brand_kit,
        "style_capsule_id": style_capsule,
        "variables": pairs("--variable", variable or []),
    }
    with connect() as client:
        shown = client.preview_template(name, {key: value for key, value in wanted.items() if value is not None})
    if as_object:
        sys.stdout.write(as_json(shown) + "\n")
        return
    OUT.print(shown["prompt"], markup=False)
    for warning in shown["warnings"]:
        ERR.print(f"warning: {warning}", markup=False)


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    app.add_typer(templates, name="templates")
