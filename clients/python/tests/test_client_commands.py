"""The command line where nothing runs, and in a pipe: exit status, sentences, plain lines."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from backlot import demo, showing
from backlot.client import Client
from backlot.connection import NotRunning, connect
from backlot.errors import BacklotClientError
from tests.played_gateway import typing_in

NOT_RUNNING = "start one with `backlot up --detach`"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Types a command, in a folder where nothing runs."""
    monkeypatch.setenv("BACKLOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BACKLOT_URL", raising=False)
    monkeypatch.delenv("BACKLOT_API_KEY", raising=False)
    typed = typing_in(tmp_path, monkeypatch, capfd)
    return lambda *arguments: Done(*typed(*arguments))


Types = Callable[..., Done]


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["jobs"],
        ["job", "j1"],
        ["cancel", "j1"],
        ["redownload", "j1"],
        ["kits"],
        ["generate", "a fox"],
        ["status", "--json"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_the_system_says_how_to_start_one(
    types: Types, tmp_path: Path, command: list[str]
) -> None:
    done = types(*command)
    assert (done.status, done.out) == (1, "")
    assert done.err == f"no Backlot runs over {tmp_path / 'home'}: {NOT_RUNNING}\n"


@pytest.mark.parametrize("output", ["file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_asked_for(
    types: Types, tmp_path: Path, output: str
) -> None:
    (tmp_path / "file").touch()
    done = types("generate", "a fox", "-o", output)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"nothing can be written to {output}: ")
    assert "choose another --output" in done.err


def test_ending_what_does_not_run_is_no_error(types: Types, tmp_path: Path) -> None:
    done = types("down")
    assert (done.status, done.out, done.err) == (0, f"No Backlot runs over {tmp_path / 'home'}.\n", "")


def test_logs_that_are_not_there_are_told(types: Types) -> None:
    assert types("logs") == Done(0, "", "")
    done = types("logs", "kafka")
    assert (done.status, done.err) == (1, "there is no log of kafka; there are: none yet\n")


def test_the_last_lines_of_logs_are_shown_with_their_names(types: Types, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "logs"
    folder.mkdir(parents=True)
    (folder / "kafka.log").write_text("one\ntwo\nthree\n")
    (folder / "postgres.log").write_text("ready\n")

    assert types("logs", "kafka", "-n", "2").out == "two\nthree\n"
    assert types("logs").out == "kafka: one\nkafka: two\nkafka: three\npostgres: ready\n"


@pytest.mark.parametrize(
    "command",
    [
        ["fly"],
        ["job"],
        ["jobs", "--limit", "0"],
        ["generate", "a fox", "--count", "11"],
        ["up", "--port", "99999"],
        ["up", "--wire", "w"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_wrong_ends_with_two(types: Types, command: list[str]) -> None:
    done = types(*command)
    assert (done.status, done.out) == (2, "")
    assert "Usage" in done.err


def test_the_help_names_every_command(types: Types) -> None:
    done = types("--help")
    assert done.status == 0
    jobs = ("generate", "jobs", "job", "cancel", "redownload", "kits")
    for command in ("up", "down", "status", "logs", "doctor", "demo", *jobs):
        assert f" {command} " in done.out


def test_a_gateway_that_does_not_answer_is_told_without_a_traceback(
    types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("BACKLOT_URL", address)
    monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")

    done = types("jobs")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"{address} does not answer: ")
    assert "Traceback" not in done.err


def test_an_address_without_its_key_is_refused(types: Types, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKLOT_URL", "http://elsewhere.test")
    done = types("jobs")
    assert (done.status, done.out) == (1, "")
    assert "both BACKLOT_URL and BACKLOT_API_KEY" in done.err


def test_a_client_of_another_gateway_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKLOT_URL", "http://elsewhere.test/")
    monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")
    with connect() as client:
        assert client.base_url == "http://elsewhere.test"
    monkeypatch.delenv("BACKLOT_API_KEY")
    with pytest.raises(NotRunning):
        connect()


def test_what_is_missing_is_told_with_what_mends_it(types: Types) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        if port > 65_000:
            port = 65_000
        told = types("doctor", "--json", "--port", str(port))
        words = types("doctor", "--port", str(port))

    checks = {check["name"]: check for check in json.loads(told.out)}
    assert (told.status, words.status) == (1, 1)
    assert not checks["ports"]["ok"]
    assert str(port) in checks["ports"]["detail"]
    assert f"-> {checks['ports']['remedy']}" in words.out


def test_progress_in_a_pipe_is_a_plain_line_for_each_change(capfd: pytest.CaptureFixture[str]) -> None:
    with showing.watching() as watch:
        for stage in ("prompting", "prompting", "generating"):
            watch.show("thumbnail", {"status": "processing", "stage": stage, "progress": 10})
        watch.show("[b]anner", {"status": "queued", "stage": None, "progress": 0})
        watch.show("thumbnail", {"status": "completed", "stage": None, "progress": 100})

    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "thumbnail: processing, prompting",
        "thumbnail: processing, generating",
        "[b]anner: queued",
        "thumbnail: completed",
    ]


def test_progress_on_a_terminal_is_a_bar() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with Progress(console=console) as progress:
        bars = showing._Bars(progress)
        bars.show("thumbnail", {"status": "processing", "stage": "generating", "progress": 40})
        bars.show("thumbnail", {"status": "completed", "stage": None, "progress": 100})
    assert "thumbnail" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_a_table_in_a_pipe_is_separated_by_tabs(capfd: pytest.CaptureFixture[str]) -> None:
    showing.table(("job", "cost"), [("j1", "0.04 USD"), ("j2", 5)])
    assert capfd.readouterr().out == "job\tcost\nj1\t0.04 USD\nj2\t5\n"


class _Refusing(Client):
    """A gateway that makes nothing of what the demo asks for."""

    def __init__(self) -> None:
        super().__init__("http://gateway.test", "bk_x")

    def create_brand_kit(self, kit: Any) -> dict[str, Any]:
        return {"id": "k1"}

    def generate(self, asset_type: str, brand_kit_id: str, **_: Any) -> dict[str, Any]:
        return {"id": asset_type}

    def get_job(self, job_id: str, **_: Any) -> dict[str, Any]:
        failed = job_id in {"thumbnail", "banner"}
        error = {"code": "PROVIDER_ERROR", "message": f"no {job_id} today"} if failed else None
        return {
            "id": job_id,
            "status": "failed" if failed else "completed",
            "error": error,
            "cost": {"settled": True},
        }


class _Silent:
    def show(self, name: str, job: Any) -> None:
        """Nobody looks."""


def test_a_demo_that_does_not_come_out_says_of_each_picture_why(tmp_path: Path) -> None:
    with _Refusing() as client, pytest.raises(BacklotClientError) as caught:
        demo.make_pictures(client, tmp_path / "out", _Silent())
    assert str(caught.value).splitlines() == [
        "thumbnail is failed: PROVIDER_ERROR no thumbnail today",
        "banner is failed: PROVIDER_ERROR no banner today",
    ]
    assert not (tmp_path / "out").exists()
