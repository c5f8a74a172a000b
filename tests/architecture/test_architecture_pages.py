"""What the pages promise is there: every file they link to, every command they tell to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import ROOT, at, files

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
COMMAND = re.compile(r"(?:^|`)make ([a-z][a-z-]*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z-]*):.*## ", re.MULTILINE)


def test_every_link_leads_to_a_file() -> None:
    found = [
        at(page, line, link)
        for page in files(".md")
        for line, link in hits(LINK, page)
        if not (page.parent / link).exists() and not (ROOT / link.lstrip("/")).exists()
    ]
    assert found == []


def test_every_make_command_is_in_the_makefile() -> None:
    """A command that a newcomer types first must not be one that went away."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {"help", "setup", "demo", "test", "check"} <= targets
    found = [
        at(page, line, f"make {target}")
        for page in files(".md")
        for line, target in hits(COMMAND, page)
        if target not in targets
    ]
    assert found == []


def test_the_verification_of_a_clone_runs_what_the_pages_say() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert {"make check", "make test"} <= set(re.findall(r"make [a-z-]+", script))


def hits(pattern: re.Pattern[str], page: Path) -> Iterator[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    for hit in pattern.finditer(text):
        yield text.count("\n", 0, hit.start()) + 1, hit.group(1)
