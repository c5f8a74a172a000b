"""The simulator's memory: one SQLite file, and every SQL statement of the simulator."""

from __future__ import annotations

from simulator.store.database import Database

__all__ = ["Database"]
