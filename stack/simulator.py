"""The simulator of the providers as a process of the system: the worker is pointed at it, and has no other key."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.errors import ServerError
from stack.ports import LOOPBACK
from stack.services import SERVICES
from stack.supervision import CHECK_SECONDS, Service

NAME = "simulator"
CUSTOMER = "provider-worker"
HEALTH = "/admin/health"
_COMMAND = (sys.executable, "-P", "-m", NAME)
_OURS = ("BACKLOT_", "KAFKA_", *(spec.prefix for spec in SERVICES))
_SECRETIVE = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Simulated:
    """A start with the simulator. ``environment``: what points the worker at it; ``wires``: modules besides its own."""

    origin: str
    wires: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def simulated(port: int, wires: Sequence[str], environ: Mapping[str, str]) -> Simulated:
    """Ask the simulator what its customers must be told when it listens on ``port``; ServerError when it cannot say."""
    command = [*_COMMAND, "--port", str(port), *_named(wires), "--environment"]
    try:
        said = subprocess.run(
            command, env=without_keys(environ), capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"simulator: does not say within {CHECK_SECONDS:.0f} s what it serves.") from None
    if said.returncode != 0:
        last = said.stderr.strip().splitlines()[-1:] or [f"ended with status {said.returncode}"]
        raise ServerError(f"simulator: {last[0].rpartition('error: ')[2]}.")
    return Simulated(f"http://{LOOPBACK}:{port}", tuple(wires), json.loads(said.stdout))


def process(chosen: Simulated, *, port: int, home: Path, environ: Mapping[str, str], log: Path, held: int) -> Service:
    """The simulator over its folder in ``home``; ``held`` is the descriptor of the folder's lock."""
    return Service(
        NAME,
        [*_COMMAND, "--port", str(port), "--folder", home / NAME, *_named(chosen.wires)],
        env=without_keys(environ),
        internal_port=port,
        ready_path=HEALTH,
        log=log,
        inherit=[held],
    )


def pointed_at(chosen: Simulated, environ: Mapping[str, str]) -> dict[str, str]:
    """What a customer is told: the simulator's addresses and keys, and no key of anybody else."""
    return {**without_keys(environ), **chosen.environment}


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without whatever is called a key, a token, a secret, a password, but for the services' own."""
    return {name: value for name, value in environ.items() if name.startswith(_OURS) or not _SECRETIVE.search(name)}


def _named(wires: Sequence[str]) -> list[str]:
    return [part for wire in wires for part in ("--wire", wire)]
