"""Commands about providers: their list, and test, which puts an adapter through the suite that all of ours pass."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from backlot.choosing import show_providers
from backlot.connection import as_json
from backlot.errors import BacklotClientError
from backlot.showing import ERR, OUT, table

CANNOT_RUN = 2
# -P: an adapter of the user's own is found by PYTHONPATH here, as it is by the services.
SUITE = (sys.executable, "-P", "-m", "provider_worker.contract")

providers = typer.Typer(help="Show what can make media, and try whether an adapter of your own is right.")
providers.callback(invoke_without_command=True)(show_providers)


@providers.command("test")
def put_to_the_test(
    name: Annotated[str, typer.Argument(help="The provider, as the route file calls it.")],
    routes: Annotated[Path | None, typer.Option(help="Your route file; Backlot's own when left out.")] = None,
    wire: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Your wire for the simulator (found by PYTHONPATH).")
    ] = None,
    as_object: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Put an adapter through the suite that Backlot's own pass, against the simulator; no key, no bill."""
    with ERR.status(f"Testing {name} ..."):
        told = _tested(name, routes, wire or [])
    if as_object:
        sys.stdout.write(as_json(told) + "\n")
    else:
        _show(told)
    if told["failed"]:
        raise typer.Exit(1)


def _tested(name: str, routes: Path | None, wires: Sequence[str]) -> dict[str, Any]:
    """What the suite says. Raises `BacklotClientError` where it could not be run."""
    further = ["--routes", str(routes)] if routes else []
    further += [part for wire in wires for part in ("--wire", wire)]
    said = subprocess.run([*SUITE, *further, "--", name], capture_output=True, text=True, check=False)
    if said.returncode == CANNOT_RUN or not said.stdout:
        raise BacklotClientError(said.stderr.strip() or f"the suite ended with status {said.returncode}")
    told: dict[str, Any] = json.loads(said.stdout)
    return told


def _show(told: Mapping[str, Any]) -> None:
    """A row for each test, and below them every failure with its reason."""
    by_test = [(test, list(found)) for test, found in groupby(told["results"], key=lambda result: result["test"])]
    rows = [(_mark(found), f"{sum(one['passed'] for one in found)}/{len(found)}", test) for test, found in by_test]
    table(("", "passed", f"what holds of {told['provider']}"), rows)
    for result in told["results"]:
        if not result["passed"]:
            OUT.print(f"\n{result['test']} [{result['about']}]", markup=False, style="bold")
            OUT.print(result["reason"], markup=False)
    OUT.print(f"\n{told['passed']} passed, {told['failed']} failed", markup=False)


def _mark(found: Sequence[Mapping[str, Any]]) -> str:
    return "ok" if all(one["passed"] for one in found) else "FAILED"


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    app.add_typer(providers, name="providers")
