"""Named crash points, for the tests that kill a process at a chosen step."""

from __future__ import annotations

import os

_CHOSEN = os.environ.get("BACKLOT_CRASH_AT")
_EXIT_CODE = 137


def point(name: str) -> None:
    """Ends the process at once, as kill -9 would, when `BACKLOT_CRASH_AT` names this point; else does nothing."""
    if _CHOSEN is not None and name == _CHOSEN:
        os._exit(_EXIT_CODE)
