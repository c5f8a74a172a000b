"""Commands about the system on this machine: up, down, status, logs, doctor, demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import httpx
import psutil
import typer

from backlot import demo, showcase
from backlot.client import Client
from backlot.connection import NotRunning, as_json, home, local
from backlot.contact_sheet import write_contact_sheet
from backlot.errors import BacklotClientError
from backlot.showing import ERR, OUT, table, watching
from stack.detached import start_detached
from stack.detached import stop as stop_system
from stack.doctor import checks
from stack.foreground import serve
from stack.state import StackInfo, log_file, running
from stack.system import System

R = TypeVar("R")

# A demo costs nothing, whatever keys are in the environment.
FREE = {"PROVIDER_WORKER_PROVIDERS": "sandbox"}
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Port = Annotated[
    int | None, typer.Option(help="First port; 0 takes free ones. Default: BACKLOT_PORT, else 8700.", min=0, max=65000)
]


def bills(context: typer.Context) -> None:
    """List what attempts may have cost that nobody can be asked about; `bills settle --help` closes one by hand."""
    command = [sys.executable, "-P", "-m", "provider_worker", "bills", *context.args]
    database = {"PROVIDER_WORKER_DATABASE_URL": local().databases["provider_worker"]}
    raise typer.Exit(subprocess.run(command, env={**os.environ, **database}, check=False).returncode)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,
    port: Port = None,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="Every provider is stood in for by the simulator; no key, no bill.")
    ] = False,
    wire: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="One more that the simulator speaks (PYTHONPATH).")
    ] = None,
) -> None:
    """Start Kafka, PostgreSQL and the five services."""
    if wire and not simulator:
        raise typer.BadParameter("--wire goes with --simulator")
    wires = (wire or []) if simulator else None
    if detach:
        with ERR.status("Starting Kafka, PostgreSQL and five services ..."):
            info = start_detached(home(), port=port, wires=wires)
        _introduce(info, "`backlot down` ends it.")
        return
    system = System(home(), port=port, wires=wires, on_event=_tell)
    asyncio.run(serve(system, on_ready=lambda info: _introduce(info, "Ctrl-C ends it.")))


def down() -> None:
    """End the system on this machine; what it stored stays."""
    OUT.print("The system is down." if stop_system(home()) else f"No Backlot runs over {home()}.")


def status(as_object: Json = False) -> None:
    """Show where the system is and which processes run."""
    info = local()
    problems = {name: _problems(address) for name, address in info.readiness.items()}
    if as_object:
        shown = {
            "gateway": info.gateway,
            "assets": info.assets,
            "kafka": info.kafka,
            "simulator": info.simulator,
            "processes": dict(info.processes),
            "problems": {name: told for name, told in problems.items() if told},
        }
        sys.stdout.write(as_json(shown) + "\n")
        return
    places = {"gateway": info.gateway, "assets": info.assets, "kafka": info.kafka, "state": info.home}
    if info.simulator:
        places["simulator"] = info.simulator
    OUT.print("\n".join(f"{name:<9}  {place}" for name, place in places.items()) + "\n")
    table(("process", "pid", "memory"), [(name, pid, _memory(pid)) for name, pid in info.processes.items()])
    for name, told in problems.items():
        for problem in told:
            OUT.print(f"{name}: {problem}", markup=False)


def _problems(address: str) -> list[str]:
    """Why a service is not ready; nothing where it is."""
    try:
        answer = httpx.get(address, timeout=3, trust_env=False)
        return [str(problem) for problem in answer.json()["problems"]]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return [f"does not answer ({type(error).__name__})"]


def logs(
    name: Annotated[str | None, typer.Argument(help="A process as in `backlot status`; all when left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=0)] = 50,
) -> None:
    """Show the last lines of the logs."""
    folder = log_file(home(), "any").parent
    files = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if name is not None and name not in files:
        there = ", ".join(files) or "none yet"
        raise NotRunning(f"there is no log of {name}; there are: {there}")
    chosen = {name: files[name]} if name is not None else files
    read = {path: _print_tail(title, path, lines, len(chosen) > 1) for title, path in chosen.items()}
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            time.sleep(0.3)
            for title, path in chosen.items():
                read[path] = _print_from(title, path, read[path], len(chosen) > 1)


def doctor(as_object: Json = False, port: Port = None) -> None:
    """Say what is missing for the system to run here, and the command that mends it."""
    found = checks(home(), port=port)
    if as_object:
        shown = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in found]
        sys.stdout.write(as_json(shown) + "\n")
    else:
        for check in found:
            OUT.print(f"{'ok     ' if check.ok else 'MISSING'}  {check.name}: {check.detail}", markup=False)
            if not check.ok and check.remedy:
                OUT.print(f"         -> {check.remedy}", markup=False)
    if not all(check.ok for check in found):
        raise typer.Exit(1)


def run_demo(
    as_object: Json = False,
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("demo-output"),
    all_kinds: Annotated[
        bool, typer.Option("--all-kinds", help="One of every kind of media instead, and a page that shows them.")
    ] = False,
) -> None:
    """Make the five pictures of a brand kit: uses the running system, else starts one and ends it afterwards."""
    if all_kinds:
        _show_all_kinds(output, as_object=as_object)
        return
    started = time.monotonic()
    info = running(home())
    pictures = _demo(info, output) if info is not None else _with_system(lambda begun: _demo(begun, output))
    seconds = time.monotonic() - started
    if as_object:
        sys.stdout.write(as_json(demo.as_object(pictures, seconds)) + "\n")
        return
    rows = [(p.asset_type, f"{p.width}x{p.height}", p.file, f"{p.cost} USD") for p in pictures]
    table(("picture", "size", "file", "cost"), rows)
    total = sum(round(float(picture.cost) * 1_000_000) for picture in pictures)
    OUT.print(f"{len(pictures)} pictures in {seconds:.1f} s for {total / 1_000_000:.6g} USD")


def _demo(info: StackInfo, output: Path) -> list[demo.Picture]:
    with Client(info.gateway, info.api_key) as client, watching() as watch:
        return demo.make_pictures(client, output, watch)


def _show_all_kinds(output: Path, *, as_object: bool) -> None:
    started, info = time.monotonic(), running(home())
    examples = _examples(info, output) if info else _with_system(lambda begun: _examples(begun, output))
    page = output / "index.html"
    write_contact_sheet(examples, page)
    seconds = time.monotonic() - started
    if as_object:
        told = {"jobs": [asdict(example) for example in examples], "page": str(page), "seconds": round(seconds, 2)}
        sys.stdout.write(as_json(told) + "\n")
        return
    table(("kind", "what", "file", "cost"), [(e.kind, e.about, e.file, f"{e.cost} USD") for e in examples])
    OUT.print(f"{len(examples)} kinds of media in {seconds:.1f} s; look at {page}")


def _examples(info: StackInfo, output: Path) -> list[showcase.Example]:
    with Client(info.gateway, info.api_key) as client, watching() as watch:
        return showcase.make_examples(client, output, watch)


def _with_system(work: Callable[[StackInfo], R]) -> R:
    """Runs `work` beside a system of its own on free ports, which ends with it, however it ends."""

    async def main() -> R:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with System(home(), port=0, on_event=_tell, env=FREE) as system:
            return await asyncio.to_thread(work, system.info)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise BacklotClientError("ended before it was finished") from None


def _tell(sentence: str) -> None:
    ERR.print(sentence, markup=False)


def _introduce(info: StackInfo, how_to_end: str) -> None:
    OUT.print(f"Backlot is ready at {info.gateway} (documentation: {info.gateway}/docs).", markup=False)
    OUT.print(f"API key: {info.api_key}", markup=False)
    if info.simulator:
        OUT.print(f"Providers are simulated; what they bill: {info.simulator}/admin/bill", markup=False)
    OUT.print(f"Try `backlot demo`. {how_to_end}", markup=False)


def _memory(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).memory_info().rss / 1_000_000:.0f} MB"
    except psutil.NoSuchProcess:
        return "gone"


def _print_tail(title: str, path: Path, lines: int, named: bool) -> int:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1_000_000))
        for line in file.read().splitlines()[-lines:] if lines else []:
            _print_line(title, line, named)
        return file.tell()


def _print_from(title: str, path: Path, position: int, named: bool) -> int:
    with path.open("rb") as file:
        if path.stat().st_size >= position:
            file.seek(position)
        for line in file.read().splitlines():
            _print_line(title, line, named)
        return file.tell()


def _print_line(title: str, line: bytes, named: bool) -> None:
    text = line.decode("utf-8", "replace")
    sys.stdout.write(f"{title}: {text}\n" if named else f"{text}\n")


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    for command in (up, down, status, logs, doctor):
        app.command()(command)
    app.command("demo")(run_demo)
    # What follows is the operator's command's own.
    told_on = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command("bills", context_settings=told_on)(bills)
