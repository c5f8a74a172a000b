"""Which wires a simulator speaks, and what the environment of a customer must be to be served by it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from simulator.settings import default_account
from simulator.wire import Wire
from simulator.wires import WIRES

_OTHER_ROOMS = {"admin", "files"}


class NoWire(ValueError):
    """A module that was named has no wire, or one that cannot stand beside the others."""


def wires_with(modules: Sequence[str]) -> tuple[Wire, ...]:
    """Our wires, and the `WIRE` of each module named with its dots. Raises `NoWire` in words."""
    wires = list(WIRES)
    for module in modules:
        wire = _wire_in(module)
        if wire.name in _OTHER_ROOMS | {one.name for one in wires}:
            raise NoWire(f"the wire of {module} is called {wire.name!r}, which is taken")
        wires.append(wire)
    return tuple(wires)


def environment(wires: Sequence[Wire], origin: str) -> dict[str, str]:
    """Variable → value: the base URL and the key of every wire that says what they are called."""
    told = {}
    for wire in wires:
        if wire.variables is not None:
            told[wire.variables.url] = f"{origin}/{wire.name}{wire.variables.path}"
            told[wire.variables.key] = default_account(wire.name).key
    return told


def _wire_in(module: str) -> Wire:
    try:
        found = getattr(importlib.import_module(module), "WIRE", None)
    except (ImportError, ValueError) as error:
        raise NoWire(f"there is no wire {module}: {error}") from error
    if not isinstance(found, Wire):
        raise NoWire(f"{module} has no WIRE")
    return found
