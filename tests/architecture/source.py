"""The tree as the rules see it: its files, its services, its parsed modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("schemas", "libs", "services", "clients", "simulator", "stack", "bench", "tests", "scripts", "deploy")


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its folder (`services/cost-ledger`) and its package (`cost_ledger`)."""

    folder: Path
    package: Path

    @property
    def modules(self) -> list[Path]:
        return [path for path in files(".py") if self.package in path.parents]


@cache
def all_files() -> tuple[Path, ...]:
    """Every file that git would take. Read from .gitignore, so that the rules run where no git is installed."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()] + [".git"]
    return tuple(sorted(_walk(ROOT, ignored)))


def _walk(folder: Path, ignored: list[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        if any(fnmatch(path.name, pattern) for pattern in ignored):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, ignored)
        else:
            yield path


def files(suffix: str) -> list[Path]:
    return [path for path in all_files() if path.name.endswith(suffix)]


def texts() -> Iterator[tuple[Path, str]]:
    """Every file that reads as text, with its text."""
    for path in all_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def modules(*roots: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file under the named folders of the root, parsed; under all of ours when none is named."""
    for path in files(".py"):
        if path.relative_to(ROOT).parts[0] in (roots or OURS):
            yield path, parsed(path)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_test(path: Path) -> bool:
    return "tests" in path.relative_to(ROOT).parts


def services() -> list[Service]:
    folders = sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())
    return [Service(folder, folder / folder.name.replace("-", "_")) for folder in folders]


def service_modules() -> Iterator[tuple[Service, Path, ast.Module]]:
    """What runs in a service, without its tests."""
    for service in services():
        for path in service.modules:
            yield service, path, parsed(path)


def at(path: Path, line: int, what: str = "") -> str:
    return f"{path.relative_to(ROOT)}:{line}" + (f" {what}" if what else "")
