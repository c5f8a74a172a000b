"""Which providers there are, and whether those that somebody wishes for can make what he asks for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from backlot.client import Client
from backlot.connection import as_json, connect
from backlot.errors import BacklotClientError, RequestRefused
from backlot.showing import table


def show_providers(
    context: typer.Context,
    as_object: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show who makes what at what price, and why one cannot be used; `test` tries an adapter."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        listed = client.list_providers()
    if as_object:
        sys.stdout.write(as_json(listed) + "\n")
        return
    rows = [(p["name"], _state(p), _makes(p), p["model"] or "", _prices(p)) for p in listed["items"]]
    table(("provider", "state", "makes (at once)", "model", "price in USD"), rows)


def check_wish(client: Client, kind: str, names: Sequence[str]) -> None:
    """Raises `BacklotClientError` where a name is no provider's, or none of those named can make `kind` now.

    What the gateway cannot tell is left to the job, which says it when it fails.
    """
    if not names:
        return
    try:
        known = {provider["name"]: provider for provider in client.list_providers(tries=1)["items"]}
    except RequestRefused:
        return
    problems = {name: problem for name in names if (problem := _problem(known.get(name), kind))}
    if all(name in known for name in names) and len(problems) < len(set(names)):
        return
    usable = [name for name, provider in known.items() if _problem(provider, kind) is None]
    told = [f"{name}: {problem}" for name, problem in problems.items()]
    told.append(f"Providers that make {kind}: {', '.join(usable) or 'none; `backlot providers` says why'}")
    raise BacklotClientError("\n".join(told))


def route(providers: Sequence[str], *, fallback: bool) -> dict[str, Any]:
    """The wish as a job takes it; nothing where there is none."""
    if not providers and fallback:
        return {}
    return {"route": {"providers": list(providers), "fallback": fallback}}


def _problem(provider: Mapping[str, Any] | None, kind: str) -> str | None:
    if provider is None:
        return "there is no such provider"
    if not provider["enabled"]:
        return str(provider["why_not"])
    if kind not in provider["kinds"]:
        return f"makes {', '.join(provider['kinds'])}, not {kind}"
    return None


def _state(provider: Mapping[str, Any]) -> str:
    return f"{provider['health']}: {provider['why_not']}" if provider["why_not"] else str(provider["health"])


def _makes(provider: Mapping[str, Any]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in provider["limits"]["per_tenant"].items())


def _prices(provider: Mapping[str, Any]) -> str:
    return ", ".join(_price(price, provider["model"]) for price in provider["prices"])


def _price(price: Mapping[str, Any], model: str | None) -> str:
    facts = " ".join(value for value in price["facts"].values() if value != model)
    return f"{price['usd']}/{price['unit']}" + (f" ({facts})" if facts else "")
