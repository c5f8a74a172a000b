"""What the worker logs and counts about an item's life, and what it never says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from chassis.metrics import REGISTRY, exposition
from chassis.telemetry import configure_logging
from provider_worker.adapters.cli import make as make_script
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import Artifact, GenerationRequest, JobRef, Outcome, ProviderError, Status
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.engine.discretion import Discretion
from provider_worker.routing import Use
from schemas.events import GenerationFailed
from tests.worker_builders import (
    PRICE,
    TENANT,
    TRACE,
    Answer,
    Home,
    Painter,
    Worker,
    envelope,
    home_at,
    item,
    prepared,
    refusing,
    table,
)

KEY = "sk-canary-51c2f0b7a94e4d12"
PROMPT = "The canary sings of " + ", ".join(f"a cage with {n} bars of gold" for n in range(1, 40)) + ".\n Loudly."
BUSY = ProviderError(ProviderCode.RATE_LIMIT, "too many requests")
AWAY = ProviderError(ProviderCode.TEMPORARY, "away")
LOST = ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The lines that were logged so far, of every level."""
    output = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        configure_logging("provider-worker", "DEBUG")
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def of_the_job(lines: Lines, job: Any) -> list[dict[str, Any]]:
    """Lines of R169 about a job, each with all that R170 asks for."""
    found = [line for line in lines() if line["event"].startswith(("asset_generation_", "task_"))]
    for line in found:
        assert (line["job_id"], line["tenant"], line["trace_id"]) == (str(job.job_id), str(TENANT), TRACE[3:35]), line
        assert {"provider", "attempt", "item", "level", "ts"} <= line.keys()
    return found


async def test_each_step_of_an_item_is_a_line_with_its_job_tenant_trace_provider_and_attempt(
    home: Home, lines: Lines
) -> None:
    painter = Painter()
    painter.answer = refusing(BUSY, 1, painter)
    here, job = home.worker(painter), prepared()
    await here.hear(envelope(job))
    await here.finish()
    found = of_the_job(lines, job)
    assert [line["event"] for line in found] == [
        "task_claimed",
        "asset_generation_start",
        "task_updated",
        "task_claimed",
        "asset_generation_start",
        "asset_generation_asset_success",
    ]
    assert {line["level"] for line in found} == {"info"}
    assert [line.get("code") for line in found] == [None, None, "RATE_LIMIT", None, None, None]


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (ProviderError(ProviderCode.CONTENT_POLICY, "not this"), "asset_generation_asset_failed"),
        (ProviderError(ProviderCode.TIMEOUT, "too late"), "asset_generation_timeout"),
        (RuntimeError("a mistake"), "asset_generation_unexpected_error"),
    ],
)
async def test_a_failure_is_a_line_with_its_code(home: Home, lines: Lines, error: Exception, event: str) -> None:
    async def answer(req: GenerationRequest) -> Status:
        raise error

    here, job = home.worker(Painter(answer=answer, idempotency="none")), prepared()
    await here.hear(envelope(job))
    await here.finish(rounds=60)
    [line] = [line for line in of_the_job(lines, job) if line["event"] == event]
    code = "PROVIDER_ERROR" if isinstance(error, RuntimeError) else error.code.value  # type: ignore[attr-defined]
    assert line["code"] == code


async def test_a_step_that_was_taken_away_is_not_found(home: Home, lines: Lines) -> None:
    painter = Painter()

    async def answer(req: GenerationRequest) -> Status:
        await home.rows("UPDATE tasks SET epoch = epoch + 1")
        return painter.make(req)

    painter.answer = answer
    here, job = home.worker(painter), prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.work()
    assert [line["event"] for line in of_the_job(lines, job)][-1] == "task_not_found"


async def test_a_script_that_fails_is_a_line_with_its_exit_code_and_what_it_said(home: Home, lines: Lines) -> None:
    program = "import sys; sys.exit('no picture of ' + sys.argv[2])"
    config = ProviderConfig(
        name="script",
        prices=Prices("script", [Price("image", PRICE)]),
        options={"argv": [sys.executable, "-c", program]},
    )
    here = home.worker(make_script(config), routes=table(Use("script", ""), waits=()))
    job = prepared([item(prompt=PROMPT)])
    await here.hear(envelope(job))
    await here.finish()
    [line] = [line for line in of_the_job(lines, job) if line["event"] == "asset_generation_cli_error"]
    assert (line["exit_code"], line["provider"]) == (1, "script")
    assert line["stderr"].startswith("no picture of [prompt]")


def telling(error: ProviderError) -> Answer:
    """Refuses with what it was told, and with the key it was called with."""

    async def answer(req: GenerationRequest) -> JobRef | Status:
        said = f"Bearer-less key {KEY} may not make: {' '.join(req.prompt.split())}"
        raise replace(error, message=said[:600])

    return answer


def failing(req: GenerationRequest) -> Status:
    error = ProviderError(ProviderCode.PROVIDER_ERROR, f"cannot draw {req.prompt} for {KEY}")
    return Status("failed", req.request_id, error=error)


async def breaking(req: GenerationRequest) -> Status:
    raise RuntimeError(f"unexpected: {req.prompt} {KEY}")


async def later(req: GenerationRequest) -> Status:
    return failing(req)


@pytest.mark.parametrize(
    "answer",
    [
        telling(ProviderError(ProviderCode.AUTH_ERROR, "", scope="account")),
        telling(ProviderError(ProviderCode.TEMPORARY, "")),
        telling(LOST),
        later,
        breaking,
    ],
    ids=["bad key", "temporary", "lost", "failed job", "unexpected"],
)
async def test_neither_a_key_nor_a_prompt_that_a_provider_repeats_is_logged_counted_kept_or_shown(
    home: Home, lines: Lines, answer: Answer
) -> None:
    here = home.worker(Painter(answer=answer, idempotency="none"), keys=[KEY])
    await here.hear(envelope(prepared([item(prompt=PROMPT)])))
    await here.finish(rounds=60)
    await settled(here)
    assert len(lines()) > 3
    said = [event.model_dump_json() for event in await home.said(GenerationFailed)]
    assert said
    kept = [str(row) for row in await home.rows("SELECT code, message FROM accounts")]
    kept += [str(row) for row in await home.rows("SELECT last_code, last_message FROM tasks")]
    told = [json.dumps(line, ensure_ascii=False) for line in lines()]
    for words in [*told, *said, *kept, exposition().decode()]:
        assert KEY not in words
        assert not [n for n in range(2, 39) if f"a cage with {n} bars of gold, a cage" in words], words


async def settled(here: Worker) -> None:
    """Open bills were looked up once."""
    async with here.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE attempts SET lookup_at = now() WHERE lookup_at IS NOT NULL")
    await here.bills.step()


async def test_attempts_are_counted_by_kind_and_code_with_their_time_retries_and_cost(home: Home) -> None:
    first, second = Painter("counted_first"), Painter("counted_second")
    first.answer = refusing(AWAY, 99, first)
    of_first, of_second = ({"provider": painter.name, "kind": "image"} for painter in (first, second))
    routes = table(Use("counted_first", "p"), Use("counted_second", "p"), waits=(0.01,))
    here = home.worker(first, second, routes=routes)
    await here.hear(envelope(prepared()))
    await here.finish()
    retries = "backlot_worker_retries_total"
    assert counted(retries, **of_first, code="TEMPORARY", how="again") == 1
    assert counted(retries, **of_first, code="TEMPORARY", how="elsewhere") == 1
    assert counted("backlot_worker_attempts_total", **of_second, outcome="completed", code="") == 1
    assert counted("backlot_worker_attempt_seconds_count", **of_second, outcome="completed") == 1
    assert counted("backlot_worker_billed_micros_total", **of_second, basis="reported") == PRICE


async def test_an_attempt_at_a_provider_that_is_asked_again_and_again_is_counted_once_from_its_submit(
    home: Home,
) -> None:
    class Slow(Painter):
        async def submit(self, req: GenerationRequest, plan: Any) -> JobRef | Status:
            self.make(req)
            return JobRef(self.name, f"job-{req.request_id}")

        async def poll(self, ref: JobRef) -> Status:
            self.calls.append("poll")
            if len(self.calls) < 4:
                return Status("running", ref.external_id)
            return replace(await super().poll(ref), artifacts=[Artifact("image/png", data=b"picture")])

    here = home.worker(Slow("counted_slow"))
    await here.hear(envelope(prepared()))
    await here.reserve()
    for _ in range(20):
        await here.work()
        await asyncio.sleep(0.02)
    of = {"provider": "counted_slow", "kind": "image", "outcome": "completed"}
    assert counted("backlot_worker_attempt_seconds_count", **of) == 1
    assert counted("backlot_worker_attempt_seconds_sum", **of) > 0.02


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("nothing of it", "nothing of it"),
        (f"key {KEY}!", "key ***!"),
        (f"key {KEY[:15]}…", "key ***…"),
        ("a red fox on a skateboard", "[prompt]"),
        ("'a red fox on a skateboard, w…", "'[prompt]…"),
        ("a red card", "a red card"),
    ],
)
def test_words_are_passed_on_without_keys_and_pieces_of_the_prompt(said: str, told: str) -> None:
    assert Discretion([KEY]).told(said, "a red fox on a skateboard,\n with a very long scarf") == told


def test_every_metric_of_the_worker_stands_in_its_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    ours = {name for line in exposition().decode().splitlines() if (name := own_name(line))}
    assert len(ours) > 15
    assert {name for name in ours if f"`{name}`" not in readme} == set()


def own_name(line: str) -> str | None:
    """The name without its prefix in a line that declares a metric of the worker."""
    words = line.split()
    declares = words[:2] == ["#", "TYPE"] and words[2].startswith("backlot_worker_")
    return words[2].removeprefix("backlot_worker_") if declares else None
