"""docs/how-to/documentary-step.md, as a newcomer follows it: every command is run, every answer is as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.architecture.source import ROOT
from tests.manifests import PATH, tree

PAGE = ROOT / "docs" / "how-to" / "documentary-step.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = PAGE.parent / "documentary"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("quoted", blocks("yaml"))
def test_what_the_page_quotes_is_in_the_route_file(quoted: str) -> None:
    assert quoted in (EXAMPLES / "routes.yaml").read_text(encoding="utf-8")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_who_types_what_the_page_says_has_every_picture_in_its_place(tmp_path: Path) -> None:
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
    answers = re.findall(r"^generated: .*?^files: [^\n]*\n", done.stdout, re.MULTILINE | re.DOTALL)
    assert answers == blocks("text")
    told = json.loads(re.search(r"^\{$.*?^\}$", done.stdout, re.MULTILINE | re.DOTALL)[0])  # type: ignore[index]
    assert (told["status"], told["generated"], told["next_step"]) == ("completed", 3, "generate_videos")

    workspace = tmp_path / "demo-output" / "documentary" / "workspace"
    places = [PATH.fullmatch(file) for file in tree(workspace)]
    projects = Counter(place.group(1, 2) for place in places if place)
    assert projects == {("deep-sea", "whales"): 22, ("harbour", "storm"): 3, ("deep-sea", "corals"): 22}
    assert None not in places
    harbour = workspace / "channels/harbour/projects/storm/assets"
    assert tree(harbour) == [
        "characters/old_fisherman.png",
        "environments/harbour_at_dawn.png",
        "props/storm_lantern.png",
    ]
    assert Image.open(harbour / "environments/harbour_at_dawn.png").size == (1280, 720)
    assert Image.open(harbour / "props/storm_lantern.png").size == (640, 360)


def environment_of_a_newcomer(folder: Path) -> dict[str, str]:
    """Our programs, free ports, and a key that must not be used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKLOT_", "PROVIDER_WORKER_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "FAL_KEY": "real", "PATH": path, "BACKLOT_PORT": "0", "BACKLOT_HOME": str(folder / "home")}
