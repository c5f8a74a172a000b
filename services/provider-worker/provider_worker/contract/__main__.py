"""`python -m provider_worker.contract NAME [--routes FILE] [--wire MODULE]`: the suite over one provider, as JSON.

Exit status: 0 all passed, 1 something did not, 2 it could not be run, which stderr explains.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chassis.errors import StartError

# Nothing listens there: it is what addresses are recognised by until the simulator has a port.
ORIGIN_PORT = 1
ORIGIN = f"http://127.0.0.1:{ORIGIN_PORT}"
NEEDED = ("pytest", "pytest_asyncio", "pytest_timeout")
INSTALL_THEM = "install them with `pip install 'backlot[dev]'`, or in a checkout with `make setup-dev`"


def tested(name: str, routes: Path | None, wires: Sequence[str]) -> dict[str, Any]:
    """What the suite says of a provider. Raises `StartError`."""
    if lacking := [package for package in NEEDED if find_spec(package) is None]:
        raise StartError([f"the suite needs {', '.join(lacking)}: {INSTALL_THEM}"])
    # pytest comes with what tests take, and is looked for first.
    from provider_worker.contract.from_routes import cases_of  # noqa: PLC0415
    from provider_worker.contract.running import run  # noqa: PLC0415

    cases = cases_of(name, routes, _environment(wires), ORIGIN)
    results = run(cases, wires)
    failed = sum(not result.passed for result in results)
    return {
        "provider": name,
        "passed": len(results) - failed,
        "failed": failed,
        "results": [asdict(result) for result in results],
    }


def _environment(wires: Sequence[str]) -> dict[str, str]:
    """What the simulator tells its customers."""
    named = [part for wire in wires for part in ("--wire", wire)]
    command = [sys.executable, "-P", "-m", "simulator", "--port", str(ORIGIN_PORT), *named, "--environment"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if said.returncode != 0:
        lines = said.stderr.strip().splitlines() or ["the simulator does not start"]
        raise StartError([lines[-1].rpartition("error: ")[2]])
    told: dict[str, str] = json.loads(said.stdout)
    return told


def main() -> int:
    """Print what came out; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m provider_worker.contract")
    parser.add_argument("name", help="a provider of the route file")
    parser.add_argument("--routes", type=Path, help="a route file of your own; ours when left out")
    parser.add_argument("--wire", action="append", default=[], metavar="MODULE", help="a wire besides the simulator's")
    given = parser.parse_args()
    try:
        told = tested(given.name, given.routes, given.wire)
    except StartError as error:
        sys.stderr.write("\n".join(error.problems) + "\n")
        return 2
    json.dump(told, sys.stdout)
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
