"""What is wrong is found before anything starts, all of it at once, in words."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack import ports
from stack.errors import StartRefusedError
from stack.plan import home_folder, make_home, make_plan
from stack.services import OFFSETS, SERVICES


@pytest.fixture
def base_port() -> int:
    """A base port whose whole range is free."""
    return next(base for base in range(15_000, 30_000, 50) if all(ports.is_free(base + offset) for offset in OFFSETS))


@pytest.fixture
def listeners() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def listen(held: ExitStack, port: int) -> None:
    server = held.enter_context(socket.create_server((ports.LOOPBACK, port)))
    server.listen()


def test_every_problem_is_reported_at_once(tmp_path: Path, base_port: int, listeners: ExitStack) -> None:
    listen(listeners, base_port)
    listen(listeners, base_port + 22)
    nobody = ports.free_ports(1)[0]
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": f"kafka,127.0.0.1:{nobody}",
        "COST_LEDGER_DATABASE_URL": "mysql://ledger@db/ledger",
        "API_GATEWAY_DATABASE_URL": f"postgresql://gateway@127.0.0.1:{nobody}/gateway",
    }

    problems = make_plan(tmp_path, base_port, environ).problems

    me = f"in use by process {os.getpid()} "
    expected = [
        (f"Port {base_port} (api-gateway) is {me}", "BACKLOT_PORT=0"),
        (f"Port {base_port + 22} (postgres) is {me}", "BACKLOT_PORT=0"),
        ("KAFKA_BOOTSTRAP_SERVERS has 'kafka'", "host:port"),
        (f"Kafka at 127.0.0.1:{nobody}", "cannot be reached: Connection refused."),
        ("COST_LEDGER_DATABASE_URL", "postgresql://user:password@host:port/database"),
        ("API_GATEWAY_DATABASE_URL", f"127.0.0.1:{nobody} cannot be reached: Connection refused."),
    ]
    assert len(problems) == len(expected)
    for problem, (begin, part) in zip(problems, expected, strict=False):
        assert problem.startswith(begin)
        assert part in problem
        assert "\n" not in problem


@pytest.mark.parametrize("text", ["eighty", "-1", "65513", "8700.0", "٨٧"])
def test_a_base_port_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    [problem] = make_plan(tmp_path, None, {"BACKLOT_PORT": text}).problems

    assert re.match(r"BACKLOT_PORT is .*: it has to be a number up to 65512, or 0", problem)


def test_ports_lie_at_fixed_distances_from_the_base(tmp_path: Path, base_port: int) -> None:
    plan = make_plan(tmp_path, None, {"BACKLOT_PORT": str(base_port)})

    assert plan.problems == ()
    assert plan.ports == {offset: base_port + offset for offset in (0, 1, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23)}


def test_free_ports_are_remembered_but_for_those_that_were_taken_since(tmp_path: Path, listeners: ExitStack) -> None:
    first = make_plan(tmp_path, 0, {}).ports
    listen(listeners, first[0])

    second = make_plan(tmp_path, 0, {}).ports

    assert second[0] != first[0]
    assert {**second, 0: None} == {**first, 0: None}


def test_only_what_is_missing_is_started(tmp_path: Path) -> None:
    outside = {f"{spec.prefix}DATABASE_URL": f"postgresql://me@/{spec.package}?host=/run/db" for spec in SERVICES}
    kafka_port = ports.free_ports(1)[0]
    with socket.create_server((ports.LOOPBACK, kafka_port)):
        all_outside = make_plan(tmp_path, 0, {**outside, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka_port}"})
    del outside["COST_LEDGER_DATABASE_URL"]
    one_missing = make_plan(tmp_path, 0, outside)

    assert not all_outside.needs_kafka
    assert not all_outside.needs_postgres
    assert one_missing.needs_kafka
    assert one_missing.needs_postgres


def test_the_ports_of_servers_that_others_run_may_be_in_use(
    tmp_path: Path, base_port: int, listeners: ExitStack
) -> None:
    for offset in (20, 21, 22):
        listen(listeners, base_port + offset)
    outside = {f"{spec.prefix}DATABASE_URL": f"postgresql://me@/{spec.package}?host=/run/db" for spec in SERVICES}

    plan = make_plan(tmp_path, base_port, {**outside, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{base_port + 20}"})

    assert plan.problems == ()
    assert plan.kafka == f"127.0.0.1:{base_port + 20}"


def test_a_state_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StartRefusedError, match=r"The state folder .*/file/home cannot be made: Not a directory"):
        make_home(tmp_path / "file" / "home")


def test_other_users_cannot_look_into_the_state_folder(tmp_path: Path) -> None:
    make_home(tmp_path / "home")

    for folder in ("", "logs", "objects"):
        assert (tmp_path / "home" / folder).stat().st_mode & 0o066 == 0


def test_the_state_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert home_folder({"BACKLOT_HOME": "/var/lib/pictures"}) == Path("/var/lib/pictures")
    assert home_folder({}) == tmp_path / ".backlot"
