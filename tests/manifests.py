"""A running system that makes manifests at the documentary's price, and how they are typed and looked at."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from stack.detached import start_detached
from stack.detached import stop as stop_system
from tests.running import SETTINGS, Live, ended

BACKLOT = Path(sys.executable).with_name("backlot")
PRICE = 68_000
"""The flat rate of a picture in micro-units (R141)."""
PICTURES = 22
PATH = re.compile(r"channels/([\w-]+)/projects/([\w-]+)/assets/(characters|environments|props)/([\w-]+)\.png")
GROUPS = {"characters": 6, "environments": 10, "props": 6}


@dataclass(frozen=True, slots=True)
class Typed:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """What `--json` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@contextmanager
def system(folder: Path, *, script: Path | None = None, **settings: str) -> Iterator[Live]:
    """A system of its own over `folder`; `script` is a provider beside the sandbox, at the same price."""
    routes = folder / "routes.yaml"
    routes.write_text(yaml.safe_dump(_routes(script)), encoding="utf-8")
    free = {"PROVIDER_WORKER_ROUTES_FILE": str(routes), "PROVIDER_WORKER_PROVIDERS": ""}
    start_detached(folder / "home", port=0, env={**SETTINGS, **free, **settings}, timeout=180)
    try:
        yield Live(folder / "home")
    finally:
        stop_system(folder / "home")


def _routes(script: Path | None) -> dict[str, Any]:
    providers: dict[str, Any] = {"sandbox": {"adapter": "sandbox", "model": "sandbox-1"}}
    if script is not None:
        providers["script"] = {"adapter": "cli", "options": {"argv": [sys.executable, str(script)]}}
    return {
        "version": 1,
        "price_version": "flat",
        "currency": "USD",
        "providers": providers,
        "routes": [{"kind": "image", "use": list(providers), "per_tenant": 16, "timeout_s": 60, "poll_s": 1}],
        "prices": [{"provider": name, "unit": "image", "usd": "0.068"} for name in providers],
    }


async def backlot(live: Live, folder: Path, *arguments: str) -> Typed:
    """Types a command in `folder`."""
    child = await asyncio.create_subprocess_exec(
        str(BACKLOT),
        *arguments,
        cwd=folder,
        env={**os.environ, "BACKLOT_HOME": str(live.home), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return Typed(child.returncode or 0, out.decode(), err.decode())


def items(*, failing: Sequence[int] = (), blank: Sequence[int] = (), count: int = PICTURES) -> list[dict[str, Any]]:
    """Small pictures in the three groups, as a manifest takes them; those in `failing` go wrong at the sandbox."""
    groups = [group for group, share in GROUPS.items() for _ in range(share)]
    return [
        {
            "group": groups[(number - 1) % len(groups)],
            "name": f"thing {number}",
            "prompt": "" if number in blank else f"a thing {number}" + (" [[sim:fail]]" if number in failing else ""),
            "width": 64,
            "height": 64,
        }
        for number in range(1, count + 1)
    ]


async def submit(client: httpx.AsyncClient, project: str, wanted: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A manifest of the channel `films` that was accepted."""
    route = {"providers": ["sandbox"], "fallback": False}
    body = {"channel": "films", "project": project, "atmosphere": "fog", "items": wanted, "route": route, **more}
    answer = await client.post("/api/v1/manifests", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def make(client: httpx.AsyncClient, project: str, wanted: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A manifest when it has ended and its bill is settled."""
    return await ended(client, (await submit(client, project, wanted, **more))["id"])


def tree(folder: Path) -> list[str]:
    """Everything below `folder`: files, and folders with nothing in them."""
    found = [path for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())]
    return sorted(str(path.relative_to(folder)) for path in found)


def statuses(job: dict[str, Any]) -> Counter[str]:
    """How many items ended how."""
    return Counter(item["status"] for item in job["items"])
