"""For tests: the real process and its admin API, and who listens to it.

The fixture `simulator` starts it once and empties it.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

_STOP_S = 10


class RunningSimulator:
    """A simulator in a process of its own. `url` stays the same over a restart, `http` does not."""

    def __init__(self, folder: Path, *, tls: bool = False, wires: Sequence[str] = ()) -> None:
        self._folder, self._tls, self._wires = folder, tls, tuple(wires)
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "simulator", "--port", str(self.port), "--folder", str(self._folder)]
        command += [part for wire in self._wires for part in ("--wire", wire)]
        self._process = subprocess.Popen(  # noqa: S603
            [*command, *(["--tls"] if self._tls else [])], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        announced = json.loads(self._process.stdout.readline())
        self.port, self.url, self.pid = announced["port"], announced["url"], announced["pid"]
        self.certificate: str | None = announced.get("certificate")
        self.http = httpx.Client(verify=not self._tls, trust_env=False, timeout=10)

    def stop(self) -> int:
        """End it as an operator does; its exit status."""
        self._process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._ended()

    def get(self, what: str, **query: Any) -> Any:
        return self._told(self.http.get(f"{self.url}/admin/{what}", params=query))

    def post(self, what: str, **body: Any) -> Any:
        return self._told(self.http.post(f"{self.url}/admin/{what}", json=body))

    def refused(self, what: str, **body: Any) -> Any:
        """What the admin API says against this; it must be a 400."""
        answer = self.http.post(f"{self.url}/admin/{what}", json=body)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]

    def reset(self) -> None:
        self.post("reset")

    def advance(self, seconds: float) -> None:
        self.post("clock", advance_s=seconds)

    def fault(self, fault: str, **rule: Any) -> int:
        number: int = self.post("faults", fault=fault, **rule)["rule"]
        return number

    def bill(self, provider: str | None = None) -> Any:
        return self.get("bill", **({"provider": provider} if provider else {}))

    def calls(self, **chosen: Any) -> list[Any]:
        """The newest last."""
        return list(reversed(self.get("calls", **chosen)))

    def _told(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _ended(self) -> int:
        self.http.close()
        status = self._process.wait(_STOP_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


class Customer:
    """Listens for callbacks. `statuses` are what it answers, 200 when they are used up."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.statuses: list[int] = []
        customer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(customer.statuses.pop(0) if customer.statuses else 200)
                self.end_headers()
                customer.got.put(({name.lower(): value for name, value in self.headers.items()}, body))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, attempt: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks/provider/{attempt}/token"

    def next(self) -> tuple[dict[str, str], Any]:
        headers, body = self.got.get(timeout=10)
        return headers, json.loads(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    yield made
    made.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--simulator-wire", action="append", default=[], help="a wire besides ours, as a module's name")


@pytest.fixture(scope="session")
def simulator_process(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[RunningSimulator]:
    """One for the whole run."""
    folder, wires = tmp_path_factory.mktemp("simulator"), pytestconfig.getoption("simulator_wire")
    running = RunningSimulator(folder, wires=wires)
    yield running
    running.stop()


@pytest.fixture
def simulator(simulator_process: RunningSimulator) -> RunningSimulator:
    """The simulator, which remembers nothing of earlier tests, and whose work takes no time unless a test says so."""
    simulator_process.reset()
    simulator_process.post("settings", queued_s=[0, 0], running_s=[0, 0])
    return simulator_process
