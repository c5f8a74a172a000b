"""What the doctor sees, and the remedy it names."""

from __future__ import annotations

import socket
from pathlib import Path

from stack import ports
from stack.doctor import Check, checks


def found(name: str, seen: list[Check]) -> Check:
    return next(check for check in seen if check.name == name)


def test_a_prepared_machine_is_well(tmp_path: Path) -> None:
    seen = checks(tmp_path / "home", port=0)

    assert [check.name for check in seen if not check.ok and check.name not in {"disk", "memory", "kafka"}] == []
    assert found("PostgreSQL", seen).detail.startswith("postgres (PostgreSQL) 18.")
    assert found("Java", seen).detail.startswith("openjdk ")


def test_jars_that_are_not_cached_are_counted_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    kafka = found("kafka", checks(tmp_path, port=0, env={"BACKLOT_CACHE": str(tmp_path)}))

    assert not kafka.ok
    assert kafka.detail.startswith("46 of 46 jars are not in ")
    assert kafka.remedy == "make setup"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    port = ports.free_ports(1)[0]
    with socket.create_server((ports.LOOPBACK, port)):
        check = found("ports", checks(tmp_path, port=port))

    assert not check.ok
    assert f"Port {port} (api-gateway) is in use" in check.detail
    assert check.remedy == "export BACKLOT_PORT=0"


def test_a_setting_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    check = found("ports", checks(tmp_path, env={"BACKLOT_PORT": "many"}))

    assert not check.ok
    assert "BACKLOT_PORT is 'many'" in check.detail


def test_a_state_folder_that_cannot_be_written_is_named_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    check = found("state folder", checks(tmp_path / "file" / "home", port=0))

    assert not check.ok
    assert str(tmp_path / "file") in check.detail
    assert not found("disk", checks(tmp_path / "new", port=0)).detail.endswith("new")
    assert not (tmp_path / "new").exists()
