"""docs/how-to/add-a-provider.md, as a newcomer follows it: every command is run, every quoted line is in the files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from provider_worker.route_file import DEFAULT_FILE
from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "add-a-provider.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROUTES = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))["routes"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def without_layout(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def generated_by() -> list[str]:
    """The provider of each `backlot generate` on the page."""
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    return [line[line.index("--provider") + 1] for line in lines if line[:2] == ["backlot", "generate"]]


@pytest.mark.parametrize("quoted", [*blocks("python"), *blocks("yaml")])
def test_what_the_page_quotes_is_in_the_files(quoted: str) -> None:
    files = [file.read_text(encoding="utf-8") for file in (PAGE.parent / "painter").iterdir()]
    assert any(without_layout(quoted) in without_layout(file) for file in files)


def test_each_provider_of_a_route_is_shown_with_its_one_flag() -> None:
    routed = {name for route in ROUTES for name in route.get("use", ())}
    assert set(generated_by()) == {"painter", *routed}


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_who_types_what_the_page_says_has_a_provider_more_and_a_file_from_each(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(
        ["bash", "-euxc", "\n".join(blocks("sh"))],
        cwd=tmp_path,
        env=environment_of_a_newcomer(tmp_path),
        capture_output=True,
        text=True,
        timeout=570,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d\d passed, 0 failed$", done.stdout, re.MULTILINE)
    assert re.search(r"^simulator +http://127\.0\.0\.1:\d+$", done.stdout, re.MULTILINE)
    # What more a provider gives, such as a second track, has its role in its name.
    files = [tmp_path / found[0] for found in re.finditer(r"^demo-output/\w+-\w{8}-1\.\w+$", done.stdout, re.MULTILINE)]
    assert len(files) == len(generated_by())
    sizes = Counter("{}x{}".format(*Image.open(file).size) for file in files if file.suffix == ".png")
    assert sizes == Counter(re.findall(r"--size (\S+)", TEXT))
    assert all(file.stat().st_size > 1000 for file in files)


def environment_of_a_newcomer(folder: Path) -> dict[str, str]:
    """Our programs, free ports, and keys that must not be used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKLOT_", "PROVIDER_WORKER_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    keys = {"FAL_KEY": "real", "NANO_BANANA_API_KEY": "real", "PAINTER_API_KEY": "real"}
    return {**kept, **keys, "PATH": path, "BACKLOT_PORT": "0", "BACKLOT_HOME": str(folder / "home")}
