"""What stands in a provider's JSON, by its type: what is of another type is as good as not there.

What a provider answers is anybody's guess, and nothing beside a result may take it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from provider_worker.adapters.interface import kept

MOST = 2**63 - 1
"""The largest number that a database keeps."""


def member(said: Any, name: str) -> Mapping[str, Any]:
    """The object that stands there, or an empty one."""
    found = _at(said, name)
    return found if isinstance(found, dict) else {}


def members(said: Any, name: str) -> Sequence[Mapping[str, Any]]:
    """The objects in the list that stands there."""
    found = _at(said, name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(said: Any, name: str) -> str:
    """The text that stands there as it can be kept, or a whole number as text."""
    found = _at(said, name)
    return str(kept(found)) if isinstance(found, str) or _is_whole(found) else ""


def word(said: Any, name: str) -> str:
    """The word that stands there for a state; what is none is told by its type."""
    found = _at(said, name)
    return found if isinstance(found, str) else f"no word but {type(found).__name__}"


def whole(said: Any, name: str) -> int | None:
    """The whole number that stands there, from 0 to what can be kept."""
    found = _at(said, name)
    return found if _is_whole(found) and 0 <= found <= MOST else None


def number(said: Any, name: str) -> float | None:
    """The number that stands there, where it is finite."""
    found = _at(said, name)
    fits = (_is_whole(found) and abs(found) <= MOST) or (isinstance(found, float) and isfinite(found))
    return float(found) if fits else None


def percent(said: Any, name: str) -> int | None:
    """The share in hundredths that stands there."""
    found = number(said, name)
    return int(found) if found is not None and 0 <= found <= 100 else None


def _at(said: Any, name: str) -> Any:
    return said.get(name) if isinstance(said, dict) else None


def _is_whole(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool)
