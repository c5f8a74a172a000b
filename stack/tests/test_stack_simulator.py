"""A start with the simulator never calls a real provider, and no real key reaches the simulator or its customer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx
import pytest

from stack import ports
from stack.plan import make_plan
from stack.services import SIMULATOR_PORT
from stack.simulator import Simulated, pointed_at, process, simulated, without_keys

REAL = {
    "NANO_BANANA_API_KEY": "real",
    "NANO_BANANA_API_URL": "https://api.nanobanana.ai",
    "OPENAI_API_KEY": "real",
    "FAL_KEY": "real",
    "REPLICATE_API_TOKEN": "real",
    "painter_secret": "real",
    "AWS_SECRET_ACCESS_KEY": "real",
    "GOOGLE_APPLICATION_CREDENTIALS": "/real.json",
}
OURS = {
    "BACKLOT_SECRET": "ours",
    "KAFKA_SASL_PASSWORD": "ours",
    "PROVIDER_WORKER_TOKEN": "ours",
    "PATH": os.environ["PATH"],
}


@pytest.fixture(scope="module")
def chosen() -> Simulated:
    """What the simulator says of itself for port 8723."""
    return simulated(8723, (), {**os.environ, **REAL})


def test_every_provider_the_environment_has_a_key_for_is_pointed_at_the_simulator(chosen: Simulated) -> None:
    told = pointed_at(chosen, {**REAL, **OURS})
    assert "real" not in told.values()
    assert told["NANO_BANANA_API_URL"] == "http://127.0.0.1:8723/nanobanana"
    assert told["NANO_BANANA_API_KEY"] == "sim-nanobanana"
    addresses = [value for name, value in chosen.environment.items() if name.endswith("_URL")]
    assert addresses
    assert all(address.startswith("http://127.0.0.1:8723/") for address in addresses)


def test_a_key_the_simulator_knows_nothing_of_is_kept_from_the_worker_too(chosen: Simulated) -> None:
    """A provider that is not simulated would be called in earnest."""
    told = pointed_at(chosen, {**REAL, **OURS})
    assert not {"painter_secret", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"} & told.keys()
    assert OURS.items() <= told.items()


def test_the_simulator_itself_is_given_no_key() -> None:
    assert without_keys({**REAL, **OURS}) == {"NANO_BANANA_API_URL": "https://api.nanobanana.ai", **OURS}


async def test_it_serves_what_it_said_and_remembers_its_bill_over_a_crash(chosen: Simulated, tmp_path: Path) -> None:
    port = ports.free_ports(1)[0]
    running = process(chosen, port=port, home=tmp_path, environ=os.environ, log=tmp_path / "log", held=-1)
    body = {"prompt": "a fox", "width": 64, "height": 64}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        try:
            await running.run()
            made = await client.post(
                "/nanobanana/generate", json=body, headers={"authorization": "Bearer sim-nanobanana"}
            )
            assert made.status_code == 200
            os.kill(running.child.pid, 9)
            await running.child.wait()
            await running.run()
            assert (await client.get("/admin/bill")).json()["generations"] == 1
        finally:
            await running.stop()
    assert (tmp_path / "simulator").is_dir()


def test_a_wire_that_is_none_and_a_port_in_use_are_told_together(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        base = taken.getsockname()[1]
        problems = make_plan(tmp_path, base, os.environ, wires=["nobody.has_this"]).problems
    assert any(f"Port {base} (api-gateway) is in use" in problem for problem in problems)
    assert "simulator: there is no wire nobody.has_this: No module named 'nobody'." in problems


def test_the_simulators_port_matters_only_where_it_is_started(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        base = taken.getsockname()[1] - SIMULATOR_PORT
        without = make_plan(tmp_path, base, os.environ)
        along = make_plan(tmp_path, base, os.environ, wires=[])
    said = f"Port {base + SIMULATOR_PORT} (simulator) is in use"
    assert not any(problem.startswith(said) for problem in without.problems)
    assert any(problem.startswith(said) for problem in along.problems)
    assert without.simulated is None
    assert along.simulated is not None
