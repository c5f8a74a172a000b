"""How many jobs there are, by what a list may be filtered by: counted as they come and move.

The counting itself is part of the statements that make and change jobs.
"""

from __future__ import annotations

from enum import IntEnum


class Shard(IntEnum):
    """Who counts. Each writer has rows of its own, so that no two transactions wait for each other's count."""

    ACCEPTED = 0
    PROMPTS = 1
    GENERATIONS = 2
    ASSETS = 3
    COSTS = 4
    OWN = 5
