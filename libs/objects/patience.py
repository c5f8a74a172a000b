"""Translation of foreign errors, and the three retries of R74."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from objects.errors import translated

T = TypeVar("T")

WAITS_S = (0.05, 0.1, 0.2)


@contextmanager
def errors_of(key: str) -> Iterator[None]:
    """Raise storage errors about `key` in the place of `OSError`s."""
    try:
        yield
    except OSError as error:
        raise translated(error, key) from error


def retried(work: Callable[[], T]) -> T:
    """Do `work` again after a transient `OSError`, at most three times. For threads: it sleeps."""
    for wait in WAITS_S:
        try:
            return work()
        except OSError as error:
            if not translated(error, "").transient:
                raise
        time.sleep(wait)
    return work()
