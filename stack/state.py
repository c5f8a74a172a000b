"""What stands in the state folder for others to read: where the system is, its ports, its secrets."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stack.ownership import holder, is_held

INFO_FILE = "stack.json"
PORTS_FILE = "ports.json"
SECRETS_FILE = "secrets.json"
LOG_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StackInfo:
    """The running system, as in ``stack.json``.

    ``gateway`` and ``assets`` are origins (``http://127.0.0.1:8700``), ``kafka`` is host:port, ``databases`` maps a
    service's package to its DSN, ``processes`` maps a name (kafka, postgres, api-gateway, ..., supervisor) to its pid
    and is kept true over restarts; ``readiness`` maps a service to the address that says whether it can work;
    ``simulator`` is the origin of the one that stands in for every provider, None where they are the real ones.
    """

    gateway: str
    assets: str
    api_key: str
    kafka: str
    databases: Mapping[str, str]
    processes: Mapping[str, int]
    home: str
    readiness: Mapping[str, str]
    simulator: str | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once per state folder. ``secret`` signs between the services, ``api_key`` opens the gateway."""

    secret: str
    api_key: str


def log_file(home: Path, name: str) -> Path:
    """Where the output of a process goes; names as in ``StackInfo.processes``."""
    return home / "logs" / f"{name}.log"


def turn_over(log: Path) -> None:
    """Put a log that has grown past 32 MB aside, in place of the one put aside before."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))


def write_info(home: Path, info: StackInfo) -> None:
    """Replace ``stack.json`` as a whole; only its owner may read it, for it holds credentials."""
    _write(home / INFO_FILE, asdict(info))


def remove_info(home: Path) -> None:
    """Say that the system is down."""
    (home / INFO_FILE).unlink(missing_ok=True)


def running(home: Path) -> StackInfo | None:
    """The system that is ready over ``home``, if there is one. What a killed owner left behind does not count."""
    if not is_held(home) or (owner := holder(home)) is None:
        return None
    noted = _read(home / INFO_FILE)
    try:
        info = StackInfo(**noted)
    except TypeError:
        return None
    return info if info.processes.get("supervisor") == owner else None


def read_ports(home: Path) -> dict[int, int]:
    """Port offset → the free port that was chosen for it earlier; empty when there was none."""
    return {int(offset): port for offset, port in _read(home / PORTS_FILE).items() if isinstance(port, int)}


def write_ports(home: Path, ports: Mapping[int, int]) -> None:
    """Remember chosen ports, for clients of this start to find the next one."""
    _write(home / PORTS_FILE, {str(offset): port for offset, port in ports.items()})


def keep_secrets(home: Path) -> Secrets:
    """The secrets of this state folder, made at the first call, readable by their owner alone."""
    noted = _read(home / SECRETS_FILE)
    try:
        return Secrets(**noted)
    except TypeError:
        made = Secrets(secret=secrets.token_urlsafe(32), api_key=f"bk_{secrets.token_urlsafe(32)}")
        _write(home / SECRETS_FILE, asdict(made))
        return made


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, object]) -> None:
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    beside.replace(path)
