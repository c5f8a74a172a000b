"""The command `backlot` as a newcomer meets it: processes of their own, an empty folder, nothing prepared."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image

from prompt_service.templates import SHIPPED
from schemas.parts import Kind
from stack.ports import is_free
from stack.services import OFFSETS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ME = psutil.Process().name()
MEND_PORT = "End it, or set BACKLOT_PORT=0."
BACKLOT = Path(sys.executable).with_name("backlot")
SIZES = {
    "thumbnail": (1280, 720),
    "overlay": (1920, 1080),
    "banner": (1200, 480),
    "story_graphic": (1080, 1920),
    "clip_cover": (1080, 1080),
}
PROCESSES = {
    "kafka",
    "postgres",
    "api-gateway",
    "prompt-service",
    "provider-worker",
    "storage-service",
    "cost-ledger",
    "supervisor",
}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody in an empty folder, with a state folder of his own."""

    folder: Path
    home: Path

    def types(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `backlot` with these arguments, as in a pipe."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKLOT_", "KAFKA_"))}
        return subprocess.run(
            [BACKLOT, *arguments],
            cwd=self.folder,
            env={**kept, "BACKLOT_HOME": str(self.home), **(env or {})},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def does(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Runs `backlot`, which has to succeed; what it printed."""
        done = self.types(*arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> list[str]:
        """The command lines of all processes that belong to his system."""
        return [" ".join(process.cmdline()) for process in psutil.process_iter() if self._is_his(process)]

    def _is_his(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            told = [*process.cmdline(), process.environ().get("BACKLOT_HOME", "")]
            return process.status() != psutil.STATUS_ZOMBIE and any(str(self.home) in text for text in told)
        return False


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    somebody = Newcomer(tmp_path / "empty", tmp_path / "state")
    somebody.folder.mkdir()
    yield somebody
    somebody.types("down")


def test_the_demo_makes_five_pictures_and_leaves_no_process(newcomer: Newcomer) -> None:
    done = newcomer.types("demo", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)

    assert set(told) == {"jobs", "seconds"}
    assert {job["asset_type"]: (job["width"], job["height"]) for job in told["jobs"]} == SIZES
    for job in told["jobs"]:
        assert set(job) == {"id", "asset_type", "status", "file", "width", "height", "sha256", "cost"}
        assert (job["status"], job["cost"]) == ("completed", "0.04")
        file = newcomer.folder / job["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == job["sha256"]
        with Image.open(file) as picture:
            assert (picture.format, picture.size) == ("PNG", SIZES[job["asset_type"]])
    assert sorted(path.name for path in (newcomer.folder / "demo-output").iterdir()) == sorted(
        f"{name}.png" for name in SIZES
    )
    assert newcomer.processes() == []


def test_a_system_in_the_background_is_there_until_it_is_ended(newcomer: Newcomer) -> None:
    introduced = newcomer.does("up", "--detach", "--port", "0")
    stack = json.loads((newcomer.home / "stack.json").read_text())
    assert stack["gateway"] in introduced
    assert stack["api_key"] in introduced
    assert {"gateway", "api_key", "kafka", "databases", "processes"} <= set(stack)
    assert set(stack["processes"]) == PROCESSES
    answer = httpx.get(f"{stack['gateway']}/api/v1/jobs", headers={"X-API-Key": stack["api_key"]}, trust_env=False)
    assert (answer.status_code, answer.json()["items"]) == (200, [])

    assert len(newcomer.processes()) >= len(PROCESSES)

    second = newcomer.types("up", "--detach", "--port", "0")
    assert second.returncode == 1
    assert f"is in use by process {stack['processes']['supervisor']}" in second.stderr
    assert "Traceback" not in second.stderr

    told = json.loads(newcomer.does("status", "--json"))
    assert told["problems"] == {}
    assert (told["gateway"], told["kafka"]) == (stack["gateway"], stack["kafka"])
    assert {name: psutil.pid_exists(pid) for name, pid in told["processes"].items()} == dict.fromkeys(PROCESSES, True)
    assert stack["gateway"] in newcomer.does("status")
    assert "backlot ready" in newcomer.does("logs", "supervisor")

    checks = json.loads(newcomer.does("doctor", "--json", "--port", "0"))
    assert {check["ok"] for check in checks} == {True}

    uses_it(newcomer)
    assert newcomer.does("down").strip() == "The system is down."
    assert newcomer.processes() == []
    gone = newcomer.types("status")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "backlot up --detach" in gone.stderr
    assert "No Backlot runs" in newcomer.does("down")


def uses_it(newcomer: Newcomer) -> None:
    """Makes pictures from the command line, looks at them, and runs the demo in the system that is there."""
    made = newcomer.types("generate", "a fox", "--size", "320x200", "--count", "2", "-o", "mine")
    assert made.returncode == 0, made.stderr
    files = [newcomer.folder / line for line in made.stdout.splitlines()]
    assert [Image.open(file).size for file in files] == [(320, 200)] * 2
    assert made.stderr.splitlines()[-1] == "image: completed"

    [job] = json.loads(newcomer.does("jobs", "--json"))["items"]
    assert (job["prompt"], job["status"], job["cost"]["actual"]) == ("a fox", "completed", "0.08")
    assert job["id"] in newcomer.does("job", job["id"], "--wait")

    assert newcomer.does("bills").strip() == "No bill is open."
    nobodys = newcomer.types("bills", "settle", str(uuid4()), "--unpaid", "--evidence", "none")
    assert (nobodys.returncode, "no open bill" in nobodys.stderr) == (1, True)
    assert json.loads(newcomer.does("bills", "--json")) == []

    refused = newcomer.types("generate", "a fox", "--size", "10x10")
    assert refused.returncode == 2
    assert "/width" in refused.stderr
    dear = newcomer.types("generate", "a fox", "--max-cost", "0.01")
    assert dear.returncode == 1
    assert "BUDGET_EXCEEDED" in dear.stderr

    newcomer.does("demo", "--output", "elsewhere")
    assert len(list((newcomer.folder / "elsewhere").iterdir())) == 5
    assert "Neon Drift" in newcomer.does("kits")

    told = json.loads(newcomer.does("demo", "--all-kinds", "--json", "--output", "kinds"))
    assert {job["kind"] for job in told["jobs"]} == {kind.value for kind in Kind}
    page = (newcomer.folder / told["page"]).read_text(encoding="utf-8")
    for job in told["jobs"]:
        file = newcomer.folder / job["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == job["sha256"]
        assert file.name in page
        with Image.open(newcomer.folder / job["thumbnail"]) as small:
            assert small.format == "WEBP"


@pytest.fixture
def first_port() -> Iterator[int]:
    """A first port; somebody else listens on it, on the next one and on the one of Kafka, and on no more."""
    for first in range(18_700, 28_700, 30):
        if not all(is_free(first + offset) for offset in OFFSETS):
            continue
        with contextlib.ExitStack() as held:
            try:
                for port in (first, first + 1, first + 20):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            yield first
            return


def test_ports_in_use_and_three_broken_services_are_said_at_once_and_nothing_is_started(
    newcomer: Newcomer, first_port: int, tmp_path: Path
) -> None:
    env = {
        "PROMPT_SERVICE_TEMPLATES_DIR": str(with_a_broken_template(tmp_path / "templates")),
        "PROVIDER_WORKER_HANDS": "many",
        "API_GATEWAY_KEY_CACHE_SECONDS": "301",
        "COLUMNS": "1000",
    }
    refused = newcomer.types("up", "--detach", "--port", str(first_port), env=env)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert sorted(refused.stderr.splitlines()) == [
        f"Port {first_port} (api-gateway) is in use by process {os.getpid()} ({ME}). {MEND_PORT}",
        f"Port {first_port + 1} (storage-service) is in use by process {os.getpid()} ({ME}). {MEND_PORT}",
        f"Port {first_port + 20} (kafka) is in use by process {os.getpid()} ({ME}). {MEND_PORT}",
        "api-gateway: API_GATEWAY_KEY_CACHE_SECONDS Input should be less than or equal to 300"
        " (how long a verified key is not looked up again, and a revoked one works)",
        "prompt-service: PROMPT_SERVICE_TEMPLATES_DIR prompts/banner/v1.0.yaml: line 19: placeholders.tone.source:"
        " Input should be 'text', 'brand_kit', 'variable' or 'request' (folder of templates, {name}/{version}.yaml)",
        "provider-worker: PROVIDER_WORKER_HANDS Input should be a valid integer,"
        " unable to parse string as an integer (tasks this process works on at once)",
    ]
    assert newcomer.processes() == []
    assert [log.stem for log in (newcomer.home / "logs").iterdir()] == ["supervisor"]


def with_a_broken_template(folder: Path) -> Path:
    shutil.copytree(SHIPPED, folder)
    file = folder / "banner" / "v1.0.yaml"
    file.write_text(file.read_text().replace("tone: {source: brand_kit", "tone: {source: weather"))
    return folder


def test_broken_templates_and_settings_stop_the_start_and_are_said_at_once(newcomer: Newcomer, tmp_path: Path) -> None:
    for name, text in {"thumbnail": "name: [", "banner": "name: banner"}.items():
        (tmp_path / "templates" / name).mkdir(parents=True)
        (tmp_path / "templates" / name / "v1.0.yaml").write_text(text)
    env = {
        "PROMPT_SERVICE_TEMPLATES_DIR": str(tmp_path / "templates"),
        "PROVIDER_WORKER_HANDS": "many",
        "PROVIDER_WORKER_LEASE_SECONDS": "0",
    }
    refused = newcomer.types("up", "--detach", "--port", "0", env=env)

    assert refused.returncode == 1
    for wrong in (
        "thumbnail/v1.0.yaml",
        "banner/v1.0.yaml",
        "PROVIDER_WORKER_HANDS",
        "PROVIDER_WORKER_LEASE_SECONDS",
    ):
        assert wrong in refused.stderr
    assert "Traceback" not in refused.stderr
    assert newcomer.processes() == []
