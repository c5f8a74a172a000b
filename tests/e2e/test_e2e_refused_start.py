"""What prevents a start is told at once, of all services, by the command that people use."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from prompt_service.templates import SHIPPED
from stack.ownership import is_held
from stack.ports import LOOPBACK, is_free
from stack.services import OFFSETS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_three_broken_services_and_a_port_in_use_are_four_sentences_of_one_answer(tmp_path: Path) -> None:
    base = next(base for base in range(16_000, 30_000, 50) if all(is_free(base + offset) for offset in OFFSETS))
    environ = {
        "BACKLOT_HOME": str(tmp_path / "home"),
        "BACKLOT_PORT": str(base),
        "PROMPT_SERVICE_TEMPLATES_DIR": str(with_a_broken_template(tmp_path / "templates")),
        "PROVIDER_WORKER_HANDS": "many",
        "API_GATEWAY_KEY_CACHE_SECONDS": "301",
    }
    with socket.create_server((LOOPBACK, base + 1)):
        answer = up(environ)

    port, *rest = answer.stderr.splitlines()
    assert answer.returncode == 1
    assert port.startswith(f"Port {base + 1} (storage-service) is in use by process {os.getpid()} ")
    assert sorted(rest) == [
        "api-gateway: API_GATEWAY_KEY_CACHE_SECONDS Input should be less than or equal to 300"
        " (how long a verified key is not looked up again, and a revoked one works)",
        "prompt-service: PROMPT_SERVICE_TEMPLATES_DIR prompts/banner/v1.0.yaml: line 19: placeholders.tone.source:"
        " Input should be 'text', 'brand_kit' or 'variable' (folder of templates, {name}/{version}.yaml)",
        "provider-worker: PROVIDER_WORKER_HANDS Input should be a valid integer,"
        " unable to parse string as an integer (tasks this process works on at once)",
    ]
    assert not is_held(tmp_path / "home")
    assert not list((tmp_path / "home" / "logs").iterdir())


def with_a_broken_template(folder: Path) -> Path:
    shutil.copytree(SHIPPED, folder)
    file = folder / "banner" / "v1.0.yaml"
    file.write_text(file.read_text().replace("tone: {source: brand_kit", "tone: {source: weather"))
    return folder


def up(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`backlot up`, whose output is not folded."""
    command = [str(Path(sys.executable).with_name("backlot")), "up"]
    given = {**os.environ, **environ, "COLUMNS": "1000"}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=120, check=False)
