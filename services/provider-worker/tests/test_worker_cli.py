"""A script as a provider: what it is called with, what it may inherit, and what is known when it does not end well."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from chassis.errors import StartError
from provider_worker.adapters.cli import Script, is_png, make
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Status,
)
from simulator.media import made as drawn
from simulator.media.images import picture

PICTURE = drawn(picture(64, 48, mime="image/png", seed=1))
ARGUMENTS = """
import argparse, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--prompt", required=True)
parser.add_argument("--output", required=True)
given = parser.parse_args()
"""
PAINTS = "open(given.output, 'wb').write(open({picture!r}, 'rb').read())"

Write = Callable[..., Script]


@pytest.fixture
def script(tmp_path: Path) -> Write:
    """Makes an adapter of a script's lines, which has `given` and may paint."""
    place = tmp_path / "picture.png"
    place.write_bytes(PICTURE)

    def write(body: str, **options: Any) -> Script:
        file = tmp_path / "generate_asset.py"
        paint = PAINTS.format(picture=str(place))
        file.write_text(ARGUMENTS + textwrap.dedent(body).replace("PAINT", paint))
        return configured(argv=[sys.executable, str(file)], **options)

    return write


def configured(**options: Any) -> Script:
    prices = Prices("script", (Price("image", 68_000),))
    return make(ProviderConfig(name="script", prices=prices, options=options))


def wish(prompt: str = "A red fox", **changes: Any) -> GenerationRequest:
    given = {"request_id": "a1", "tenant_id": "acme", "kind": MediaKind.IMAGE, "op": Op.TEXT_TO_IMAGE}
    return GenerationRequest(**{**given, "prompt": prompt, "width": 64, "height": 48, **changes})


async def run(made: Script, request: GenerationRequest | None = None) -> Status:
    found = await made.submit(request or wish(), made.plan(request or wish()))
    assert isinstance(found, Status)
    return found


async def failed(made: Script, request: GenerationRequest | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await run(made, request)
    return caught.value


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def is_gone(process: str) -> bool:
    """Whether there is no such process, or only what is left of one."""
    try:
        return psutil.Process(int(process)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_what_the_script_painted_is_the_result_and_costs_its_price(script: Write) -> None:
    made = script("PAINT")
    status = await run(made)
    [artifact] = status.artifacts
    assert (status.state, artifact.mime) == ("succeeded", "image/png")
    assert b"".join([chunk async for chunk in made.fetch(artifact)]) == PICTURE
    assert status.cost is not None
    assert status.cost.amount_micros == made.estimate(wish()).amount_micros == 68_000


@pytest.mark.parametrize(
    "prompt",
    ["-A fox", "--output=/etc/passwd", "$(touch x); `id` && 'rm' \"-rf\" | * \n\t\\", "x" * 4_000, "Ein Fuchs: 🦊 狐"],
    ids=["dash", "option", "shell", "long", "letters"],
)
async def test_a_prompt_reaches_the_script_as_it_stands(script: Write, tmp_path: Path, prompt: str) -> None:
    told = tmp_path / "told"
    made = script(f"open({str(told)!r}, 'w').write(given.prompt)\nPAINT")
    status = await run(made, wish(prompt))
    assert status.state == "succeeded"
    assert told.read_text().strip() == prompt.strip()


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a \0 b"},
        {"prompt": "\ud800"},
        {"prompt": " "},
        {"prompt": "x" * 20_001},
        {"op": Op.EDIT_IMAGE},
        {"kind": MediaKind.MUSIC},
    ],
)
def test_what_no_script_can_be_given_is_refused_before_it_runs(script: Write, changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        script("").plan(wish(**changes))
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)


async def test_the_environment_is_almost_empty(script: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "for-the-script")
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-the-script")
    told = tmp_path / "told"
    made = script(f"open({str(told)!r}, 'w').write(' '.join(sorted(os.environ)))\nPAINT", pass_env=["GEMINI_API_KEY"])
    await run(made)
    assert set(told.read_text().split()) - {"LC_CTYPE"} <= {"PATH", "HOME", "LANG", "GEMINI_API_KEY"}
    assert "GEMINI_API_KEY" in told.read_text()


async def test_no_file_of_ours_is_inherited_and_its_process_group_is_its_own(script: Write, tmp_path: Path) -> None:
    told = tmp_path / "told"
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    body = f"""
    found = [str(number) for number in range(3, 256) if os.path.exists(f'/proc/self/fd/{{number}}')]
    own = [os.path.realpath(f'/proc/self/fd/{{number}}') for number in found]
    here = [path for path in own if 'pipe' in path or 'socket' in path]
    open({str(told)!r}, 'w').write(repr((here, os.getpgrp() == os.getpid(), sys.stdin.read())))
    PAINT
    """
    try:
        await run(script(body))
    finally:
        os.close(reading)
        os.close(writing)
    assert told.read_text() == "([], True, '')"


SAID = [
    ("Error 429: slow down", ErrorCode.RATE_LIMIT),
    ("RESOURCE_EXHAUSTED", ErrorCode.RATE_LIMIT),
    ("API key not valid", ErrorCode.AUTH_ERROR),
    ("finish reason SAFETY", ErrorCode.CONTENT_POLICY),
    ("the prompt was blocked", ErrorCode.CONTENT_POLICY),
    ("seed 4290 gave no image", ErrorCode.PROVIDER_ERROR),
    ("", ErrorCode.PROVIDER_ERROR),
]


@pytest.mark.parametrize(("words", "code"), SAID)
async def test_what_a_script_says_when_it_fails_decides_what_may_follow(
    script: Write, words: str, code: ErrorCode
) -> None:
    error = await failed(script(f"sys.exit({words!r})" if words else "sys.exit(1)"))
    assert (error.code, error.outcome) == (code, Outcome.REJECTED)


async def test_a_failure_names_the_script_its_exit_code_and_the_beginning_of_what_it_said(script: Write) -> None:
    error = await failed(script("sys.stderr.write('It\\nbroke. ' + 'x' * 100_000)\nsys.exit(3)"))
    before, _, said = error.message.partition(": ")
    assert before.endswith("generate_asset.py ended with exit code 3")
    assert said == ("It broke. " + "x" * 500)[:500]


async def test_neither_a_key_nor_the_prompt_is_repeated(script: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "very-secret")
    body = "sys.exit('asked with ' + os.environ['GEMINI_API_KEY'] + ' for ' + given.prompt)"
    error = await failed(script(body, pass_env=["GEMINI_API_KEY"]))
    assert error.message.endswith("asked with *** for [prompt]")


@pytest.mark.parametrize(
    "words",
    ["requests.exceptions.ReadTimeout", "the call timed out", "504 Gateway", "Connection reset by peer"],
)
async def test_a_script_that_lost_an_answer_may_have_paid(script: Write, words: str) -> None:
    error = await failed(script(f"sys.exit({words!r})"))
    assert error.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("words", ["ConnectTimeout: no route", "usage: script [timeout=60]"])
async def test_a_script_that_reached_nobody_has_not_paid(script: Write, words: str) -> None:
    assert (await failed(script(f"sys.exit({words!r})"))).outcome is Outcome.REJECTED


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 9)", "sys.exit(137)"])
async def test_a_script_that_somebody_killed_may_have_paid(script: Write, ending: str) -> None:
    error = await failed(script(ending))
    assert (error.code, error.outcome) == (ErrorCode.PROVIDER_ERROR, Outcome.UNKNOWN)


FORKS = """
child = os.fork()
if child == 0:
    time.sleep(600)
open({told!r} + '.part', 'w').write(f'{{os.getpid()}} {{child}}')
os.rename({told!r} + '.part', {told!r})
"""


async def test_a_script_that_hangs_is_killed_with_all_it_started_and_may_have_paid(
    script: Write, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    made = script(FORKS.format(told=str(told)) + "time.sleep(600)", timeout_s=1.5)
    error = await failed(made)
    assert (error.code, error.outcome, error.retryable) == (ErrorCode.TIMEOUT, Outcome.UNKNOWN, False)
    assert "did not end within 1.5 s" in error.message
    for process in told.read_text().split():
        await until(partial(is_gone, process))


async def test_a_call_that_is_given_up_leaves_nothing_running(script: Write, tmp_path: Path) -> None:
    told = tmp_path / "told"
    calling = asyncio.create_task(run(script(FORKS.format(told=str(told)) + "time.sleep(600)")))
    await until(told.exists)
    calling.cancel()
    await asyncio.wait([calling])
    for process in told.read_text().split():
        await until(partial(is_gone, process))


async def test_what_a_script_leaves_running_is_not_waited_for(script: Write, tmp_path: Path) -> None:
    told = tmp_path / "told"
    made = script("PAINT\n" + FORKS.format(told=str(told)), timeout_s=30)
    async with asyncio.timeout(10):
        assert (await run(made)).state == "succeeded"
    psutil.Process(int(told.read_text().split()[1])).kill()


async def test_a_script_that_says_much_is_not_held_up(script: Write) -> None:
    made = script("sys.stderr.write('x' * 5_000_000)\nprint('y' * 5_000_000)\nPAINT", timeout_s=30)
    assert (await run(made)).state == "succeeded"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", ErrorCode.PROVIDER_ERROR),
        ("open(given.output, 'wb')", ErrorCode.CORRUPT_OUTPUT),
        ("open(given.output, 'w').write('<html>')", ErrorCode.CORRUPT_OUTPUT),
        ("PAINT\nos.truncate(given.output, 500)", ErrorCode.CORRUPT_OUTPUT),
    ],
    ids=["nothing", "empty", "html", "truncated"],
)
async def test_an_exit_of_zero_without_a_picture_was_paid_and_is_no_success(
    script: Write, body: str, code: ErrorCode
) -> None:
    status = await run(script(body))
    assert (status.state, status.error and status.error.code) == ("failed", code)
    assert status.cost is not None


async def test_its_folder_is_its_own_and_is_gone_afterwards(script: Write, tmp_path: Path) -> None:
    told = tmp_path / "told"
    body = f"""
    folder = os.path.dirname(given.output)
    found = [os.path.basename(folder), oct(os.stat(folder).st_mode & 0o777), *os.listdir(folder)]
    open({str(told)!r}, 'w').write(' '.join(found))
    PAINT
    """
    await run(script(body))
    folder, *facts = told.read_text().split()
    assert facts == ["0o700"]
    assert folder not in os.listdir(tempfile.gettempdir())


async def test_a_program_that_is_not_there_was_not_sent(tmp_path: Path) -> None:
    locked = tmp_path / "locked.sh"
    locked.write_text("#!/bin/sh\n")
    for program in ("no-such-program", str(locked)):
        made = configured(argv=[program, "generate.py"])
        assert (await failed(made)).outcome is Outcome.NOT_SENT
        assert not await made.health()


async def test_nothing_can_be_asked_of_a_script_afterwards(script: Write) -> None:
    made, request = script("PAINT"), wish()
    assert await made.health()
    assert {found.idempotency for found in made.capabilities()} == {"none"}
    assert await made.find(request, made.plan(request), datetime.now(UTC)) is None
    assert not await made.cancel(JobRef("script", "a1"))
    with pytest.raises(ProviderError):
        await made.poll(JobRef("script", "a1"))


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, "argv"),
        ({"argv": []}, "argv"),
        ({"argv": "python generate.py"}, "argv"),
        ({"argv": ["python"], "timeout_s": 0}, "timeout_s"),
        ({"argv": ["python"], "shell": True}, "shell"),
    ],
)
def test_a_script_is_called_as_its_options_say_or_not_at_all(options: dict[str, Any], place: str) -> None:
    with pytest.raises(StartError, match=f"options.{place}"):
        configured(**options)


@pytest.mark.parametrize("place", [9, 20, 30, len(PICTURE) - 10])
def test_a_png_is_one_to_its_last_byte(place: int) -> None:
    assert is_png(PICTURE)
    assert is_png(PICTURE + b"and more")
    assert not is_png(PICTURE[:place])
    assert not is_png(PICTURE[:place] + bytes([PICTURE[place] ^ 1]) + PICTURE[place + 1 :])
    assert not is_png(PICTURE[:8] + PICTURE[-12:])
