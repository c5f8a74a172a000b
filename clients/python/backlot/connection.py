"""Which Backlot a command talks to: the one in the environment, else the one on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from backlot.client import Client
from backlot.errors import BacklotClientError
from stack.plan import home_folder
from stack.state import StackInfo, running

START_IT = "start one with `backlot up --detach`"


class NotRunning(BacklotClientError):
    """There is no Backlot to talk to."""


def local() -> StackInfo:
    """The system on this machine. Raises `NotRunning`."""
    folder = home()
    info = running(folder)
    if info is None:
        raise NotRunning(f"no Backlot runs over {folder}: {START_IT}")
    return info


def home() -> Path:
    """The state folder: `BACKLOT_HOME`, else `.backlot` here."""
    return home_folder(os.environ).absolute()


def connect() -> Client:
    """A client of `BACKLOT_URL` with `BACKLOT_API_KEY`, else of the system on this machine. Raises `NotRunning`."""
    url, key = os.environ.get("BACKLOT_URL"), os.environ.get("BACKLOT_API_KEY")
    if url and key:
        return Client(url, key)
    if url or key:
        raise NotRunning("set both BACKLOT_URL and BACKLOT_API_KEY, or neither to use the system on this machine")
    info = local()
    return Client(info.gateway, info.api_key)


def as_json(value: Any) -> str:
    """`value` for machines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
