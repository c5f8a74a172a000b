"""Commands about webhooks: addresses that hear how jobs end, and what became of each delivery."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from backlot.connection import as_json, connect
from backlot.options import Json
from backlot.showing import ERR, OUT, table

webhooks = typer.Typer(help="Have an address of yours told how jobs end.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the webhook.")]
Limit = Annotated[int, typer.Option(min=1, max=100)]


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(help="An https address of yours.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="Like job.failed; job.settled has to be named. Default: each end. Several: once more."),
    ] = None,
    description: Annotated[str | None, typer.Option(help="For your own list.")] = None,
    as_object: Json = False,
) -> None:
    """Register an address, and print its id and the secret that its deliveries are signed with."""
    with connect() as client:
        made = client.create_webhook(url, events=event, description=description)
    if as_object:
        sys.stdout.write(as_json(made) + "\n")
        return
    OUT.print(f"id: {made['id']}\nsecret: {made['secret']}", markup=False)
    ERR.print("The secret is not shown again.", markup=False)


@webhooks.command("list")
def list_all(limit: Limit = 100, as_object: Json = False) -> None:
    """List webhooks, newest first."""
    with connect() as client:
        page = client.list_webhooks(limit=limit)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(w["id"], w["url"], " ".join(w["events"]), w["disabled_reason"] or "") for w in page["items"]]
    table(("webhook", "address", "hears", "disabled"), rows)
    OUT.print(f"{len(rows)} of {page['total']}")


@webhooks.command()
def remove(webhook: Id) -> None:
    """Delete a webhook; nothing is sent to it any more."""
    with connect() as client:
        client.delete_webhook(webhook)


@webhooks.command()
def deliveries(
    webhook: Id,
    state: Annotated[State | None, typer.Option(help="Only those.")] = None,
    limit: Limit = 20,
    as_object: Json = False,
) -> None:
    """List what was told to a webhook, newest first, with why it did not arrive."""
    with connect() as client:
        page = client.list_deliveries(webhook, state=state, limit=limit)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    table(("delivery", "event", "job", "state", "attempts", "why"), [_row(found) for found in page["items"]])
    OUT.print(f"{len(page['items'])} of {page['total']}")


@webhooks.command()
def redeliver(
    webhook: Id,
    delivery: Annotated[str, typer.Argument(help="Of `backlot webhooks deliveries`.")],
    as_object: Json = False,
) -> None:
    """Send a delivery again, with the id that it had."""
    with connect() as client:
        found = client.redeliver(webhook, delivery)
    if as_object:
        sys.stdout.write(as_json(found) + "\n")
        return
    OUT.print(f"{found['id']} is {found['state']}", markup=False)


def _row(found: Mapping[str, Any]) -> tuple[object, ...]:
    return found["id"], found["event"], found["job_id"], found["state"], found["attempts"], found["error"] or ""


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    app.add_typer(webhooks, name="webhooks")
