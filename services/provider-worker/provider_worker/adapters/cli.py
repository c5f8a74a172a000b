"""A script of yours as a provider (R93): `python scripts/generate_asset.py --prompt P --output PATH`, exit 0 or 1.

It is never imported and goes through no shell. It has a process group, a session and an almost empty environment of its
own: PATH, HOME, LANG, and what `options.pass_env` names. `options.argv` is how it is called.

Nobody can be asked about a script that gave no word of its end: one that hung and was killed, or that a signal ended,
may have paid, and so may one that says that it lost an answer itself. The outcome of those is unknown, and none of
them is run again (spec/providers.md, sections 12 and 14). One that ends by itself with another error has been refused.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from chassis.telemetry import get_logger
from provider_worker.adapters.config import CURRENCY, ProviderConfig
from provider_worker.adapters.config import Options as AdapterOptions
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.signatures import unsigned

log = get_logger()

LONGEST_PROMPT = 20_000
"""In characters; Linux takes 131,072 bytes in one argument."""
LARGEST_FILE = 64 * 1024 * 1024
SHOWN = 500
ENVIRONMENT = ("PATH", "HOME", "LANG")

_KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE)
_READ = 64 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_LOST = re.compile(
    r"timed out|(?<!Connect)Timeout|\b504\b|DEADLINE_EXCEEDED|[Cc]onnection (was )?(reset|aborted)|RemoteDisconnected"
)
_SAID = (
    (re.compile(r"\b429\b|RESOURCE_EXHAUSTED"), ErrorCode.RATE_LIMIT),
    (re.compile(r"API[ _]?key", re.I), ErrorCode.AUTH_ERROR),
    (re.compile(r"SAFETY|blocked"), ErrorCode.CONTENT_POLICY),
)


class Options(AdapterOptions):
    """How the script is called, how long it may take, and which variables it is given."""

    argv: list[str] = Field(min_length=1)
    timeout_s: float = Field(default=60.0, gt=0)
    pass_env: list[str] = Field(default=[])


class Script:
    """One picture for each call; it knows neither a reference of ours nor a list."""

    def __init__(self, config: ProviderConfig, options: Options) -> None:
        self._config, self._options = config, options
        names = (*ENVIRONMENT, *options.pass_env)
        self._environment = {name: os.environ[name] for name in names if name in os.environ}
        self._secrets = [value for name in options.pass_env if (value := os.environ.get(name))]

    @property
    def name(self) -> str:
        return self._config.name

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(kind=kind, op=Op.TEXT_TO_IMAGE, mode="sync", sizes=None, formats=("png",)) for kind in _KINDS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._cost("estimated")

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """What is said for `--prompt`."""
        if req.op is not Op.TEXT_TO_IMAGE or req.kind not in _KINDS:
            raise self._invalid(f"{self.name} does not make {req.kind} by {req.op}")
        prompt = req.prompt.strip()
        if not prompt or len(prompt) > LONGEST_PROMPT:
            raise self._invalid(f"the prompt must have 1 to {LONGEST_PROMPT} characters")
        try:
            encoded = os.fsencode(prompt)
        except UnicodeEncodeError as error:
            raise self._invalid("the prompt has characters that no program can be given") from error
        if b"\0" in encoded:
            raise self._invalid("the prompt has a NUL in it")
        # What begins with a dash is taken for an option by whoever reads arguments.
        return {"prompt": f" {prompt}" if prompt.startswith("-") else prompt}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        with tempfile.TemporaryDirectory(prefix="backlot-script-") as folder:
            output = Path(folder, "output.png")
            code, said = await self._run([*self._options.argv, "--prompt", plan["prompt"], "--output", str(output)])
            if code != 0:
                raise self._failure(code, said, req.prompt)
            return self._made(req.request_id, await asyncio.to_thread(_read, output))

    async def poll(self, ref: JobRef) -> Status:
        raise self._invalid(f"{self.name} has no jobs that could be polled")

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """None: it remembers nothing."""
        return None

    async def cancel(self, ref: JobRef) -> bool:
        return False

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        yield art.data or b""

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """Nobody calls on its behalf."""
        return unsigned(body)

    async def health(self) -> bool:
        """Whether there is such a program."""
        return shutil.which(self._options.argv[0], path=self._environment.get("PATH")) is not None

    async def close(self) -> None:
        return None

    async def _run(self, argv: Sequence[str]) -> tuple[int | None, str]:
        """Its exit status, None where it was killed for its time, and how what it said on stderr begins."""
        async with _listening() as (writing, heard):
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=writing,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                message = f"{self._script} could not be started: {error.strerror}"
                raise ProviderError(ErrorCode.PROVIDER_ERROR, message, outcome=Outcome.NOT_SENT) from error
            finally:
                os.close(writing)
            try:
                async with asyncio.timeout(self._options.timeout_s):
                    code: int | None = await process.wait()
            except TimeoutError:
                code = None
            finally:
                await _end(process)
        return code, heard.decode(errors="replace")

    @property
    def _script(self) -> str:
        """Its name among the arguments, of which another may be a key."""
        program, *others = self._options.argv
        return next((part for part in others if not part.startswith("-")), program)

    def _made(self, reference: str, data: bytes | None) -> Status:
        """It says that it has made one: it is paid, whatever lies there."""
        cost = self._cost("priced_from_usage")
        if data is not None and is_png(data):
            return Status(
                "succeeded", reference, progress=100, artifacts=(Artifact("image/png", data=data),), cost=cost
            )
        code = ErrorCode.PROVIDER_ERROR if data is None else ErrorCode.CORRUPT_OUTPUT
        words = "wrote no file" if data is None else f"wrote {len(data)} bytes that are no PNG"
        return Status(
            "failed", reference, error=ProviderError(code, f"{self._script} ended well, but {words}"), cost=cost
        )

    def _failure(self, code: int | None, said: str, prompt: str) -> ProviderError:
        """Script, exit code and the beginning of its stderr (R77)."""
        shown = self._shown(said, prompt)
        log.warning("asset_generation_cli_error", script=self._script, exit_code=code, stderr=shown)
        if code is None:
            message = f"{self._script} did not end within {self._options.timeout_s:g} s and was killed: {shown}"
            return ProviderError(ErrorCode.TIMEOUT, message, outcome=Outcome.UNKNOWN)
        message = f"{self._script} ended with exit code {code}: {shown}"
        # A shell in between says 128 and the signal.
        if code < 0 or code > 128 or _LOST.search(said):
            return ProviderError(ErrorCode.PROVIDER_ERROR, message, outcome=Outcome.UNKNOWN)
        found = next((kind for pattern, kind in _SAID if pattern.search(said)), ErrorCode.PROVIDER_ERROR)
        return ProviderError(found, message, scope="account" if found is ErrorCode.AUTH_ERROR else "request")

    def _shown(self, said: str, prompt: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return " ".join(said.replace(prompt.strip(), "[prompt]").split())[:SHOWN] or "it said nothing"

    def _cost(self, basis: Any) -> Cost:
        prices = self._config.prices
        return Cost(prices.of("image", model=self._config.model), CURRENCY, basis, {"image": 1}, prices.version)

    def _invalid(self, message: str) -> ProviderError:
        return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT)


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[int, bytearray]]:
    """The end of a pipe to write to, which whoever gets it closes, and what has come through it, up to a bound.

    A pipe of its own: what the script leaves running may hold it open for ever, and nothing waits for it.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    loop, heard = asyncio.get_running_loop(), bytearray()

    def hear() -> None:
        with suppress(BlockingIOError):
            data = os.read(reading, _READ)
            heard.extend(data[: _READ - len(heard)])
            if not data:
                loop.remove_reader(reading)

    loop.add_reader(reading, hear)
    try:
        yield writing, heard
        hear()
    finally:
        loop.remove_reader(reading)
        os.close(reading)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills the group of a script that has not ended, and with it what it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError:
        return None


def is_png(data: bytes) -> bool:
    """Whether these are all the chunks of one PNG, each with its checksum; what they show is decoded later."""
    place, first = len(_PNG), True
    if not data.startswith(_PNG) or len(data) > LARGEST_FILE:
        return False
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if end > len(data) or (kind == b"IHDR") is not first:
            return False
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return False
        if kind == b"IEND":
            return True
        place, first = end, False
    return False


def make(config: ProviderConfig) -> Script:
    """An adapter for one script. Raises `StartError` where the options do not say how it is called."""
    return Script(config, config.read(Options))
