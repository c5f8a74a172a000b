"""Who is told to ask the simulator asks nobody else; a wire of anybody's own stands beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulator.environment import NoWire, environment, wires_with
from simulator.testing import RunningSimulator
from simulator.wire import Wire
from simulator.wires import WIRES

ORIGIN = "http://127.0.0.1:8900"
ECHO = """
from starlette.responses import JSONResponse
from simulator.wire import Endpoint, Variables, Wire, bearer

async def said(call):
    return JSONResponse({"account": call.account.name})

WIRE = Wire(
    name="echo",
    endpoints=(Endpoint("GET", "/v2/said", "status", said),),
    key_of=bearer,
    refusal=lambda refused: JSONResponse({"error": refused.message}, 401),
    variables=Variables("ECHO_URL", "ECHO_KEY", path="/v2"),
)
"""


@pytest.fixture
def own_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that only this test's processes can import."""
    (tmp_path / "echo_wire.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_wire"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_every_wire_says_which_variables_point_a_customer_at_it(wire: Wire) -> None:
    host = next(other for other in WIRES if other.name == wire.place)
    assert host.variables is not None


def test_no_variable_points_at_two_places() -> None:
    names = Counter(name for wire in WIRES if wire.variables for name in (wire.variables.url, wire.variables.key))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_customers_environment_holds_the_base_url_and_the_key_of_each_wire() -> None:
    told = environment(WIRES, ORIGIN)
    assert len(told) == 2 * len({wire.place for wire in WIRES})
    assert (told["OPENAI_API_URL"], told["OPENAI_API_KEY"]) == (f"{ORIGIN}/openai/v1", "sim-openai")
    assert (told["FAL_API_URL"], told["FAL_KEY"]) == (f"{ORIGIN}/fal", "sim-fal")


def test_the_environment_is_printed_for_a_port_before_anything_listens_there(own_wire: str) -> None:
    told = json.loads(started("--port", "8900", "--wire", own_wire, "--environment").stdout)
    assert told == environment(WIRES, ORIGIN) | {"ECHO_URL": f"{ORIGIN}/echo/v2", "ECHO_KEY": "sim-echo"}


def test_a_wire_of_ones_own_is_served_beside_ours(own_wire: str, tmp_path: Path) -> None:
    running = RunningSimulator(tmp_path / "folder", wires=[own_wire])
    try:
        answer = running.http.get(f"{running.url}/echo/v2/said", headers={"authorization": "Bearer sim-echo"})
        assert answer.json() == {"account": "default"}
        assert {"echo", "fal"} <= set(running.get("health")["providers"])
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("nobody.has_this", "there is no wire nobody.has_this"),
        ("json", "json has no WIRE"),
        ("simulator.wires.fal", "called 'fal', which is taken"),
    ],
)
def test_what_is_no_wire_is_refused_in_words(module: str, reason: str) -> None:
    with pytest.raises(NoWire, match=reason):
        wires_with([module])
    refused = started("--environment", "--wire", module)
    assert refused.returncode == 2
    assert reason in refused.stderr
    assert "Traceback" not in refused.stderr


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
