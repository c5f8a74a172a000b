"""How jobs look on a terminal, and in a pipe: bars and tables there, plain lines here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

# Answers go to stdout, everything about the way there to stderr, so that a pipe carries answers alone.
OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


class Watch(Protocol):
    """What follows the progress of named jobs."""

    def show(self, name: str, job: Mapping[str, Any]) -> None:
        """The job called `name` is now so."""


class _Lines:
    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def show(self, name: str, job: Mapping[str, Any]) -> None:
        line = f"{name}: {_state(job)}"
        if self._said.get(name) != line:
            self._said[name] = line
            ERR.print(line, markup=False)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def show(self, name: str, job: Mapping[str, Any]) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=100, state="")
        self._progress.update(self._bars[name], completed=job["progress"], state=_state(job))


@contextmanager
def watching() -> Iterator[Watch]:
    """A bar for each job on a terminal, a line for each change in a pipe."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
        yield _Bars(progress)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings; in a pipe the same, separated by tabs."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            sys.stdout.write("\t".join(map(str, row)) + "\n")
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*map(str, row))
    OUT.print(shown)


def why(job: Mapping[str, Any]) -> str:
    """Why a job did not complete."""
    error = job["error"] or {}
    return f"the job is {job['status']}: {error.get('code', '')} {error.get('message', '')}".rstrip()


def item_error(item: Mapping[str, Any]) -> str:
    """Why an item was not made; empty where nothing went wrong."""
    return f"{item['error']['code']}: {item['error']['message']}" if item["error"] else ""


def cost(job: Mapping[str, Any]) -> str:
    """What a job has cost."""
    found = job["cost"]
    return f"{found['actual']} {found['currency']}" + ("" if found["settled"] else " so far")


def _state(job: Mapping[str, Any]) -> str:
    stage = f", {job['stage']}" if job.get("stage") else ""
    return f"{job['status']}{stage}"
