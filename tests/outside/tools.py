"""Programs of others: where they are, and what to do where they are not."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"


def ffprobe(path: Path, *options: str) -> dict[str, Any]:
    """What ffprobe reads in a file; whatever it has to complain of fails the test."""
    command = [program("ffprobe"), "-v", "warning", "-of", "json", *options, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), f"ffprobe does not like {path}:\n{ended.stderr}"
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def node(script: str, work: Any, *, timeout: float) -> Any:
    """What a script of this folder answers to `work`; both are JSON."""
    assert PACKAGES.is_dir(), f"{PACKAGES} is not there: scripts/outside-tools makes it"
    ended = subprocess.run(
        [program("node"), str(HERE / script)],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.returncode == 0, f"{script} failed:\n{ended.stderr}"
    return json.loads(ended.stdout)


def program(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    assert found is not None, f"{name} is not on this machine: scripts/outside-tools installs it, or says how"
    return found
