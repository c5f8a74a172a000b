"""A real Apache Kafka of one node (KRaft) as a child process: Java from a wheel, pinned jars, ends with its owner."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stack.child import Child, run_to_end, tail
from stack.errors import ServerError
from stack.jars import Progress, cache_folder, fetch
from stack.java import archive_options, java
from stack.ownership import FolderLock
from stack.ports import LOOPBACK

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "1500",  # a killed broker first waits for its own registration to expire
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),  # 128 MB of the heap by default, for compacted topics only
    "log.segment.bytes": str(128 * 1024 * 1024),  # after kill -9 the newest segment of each partition is read again
    "message.max.bytes": str(1024 * 1024),
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
}
LOGGING = """\
status = ERROR
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server
logger.server.level = INFO
"""


class Kafka:
    """One broker over ``folder``, listening on 127.0.0.1 at ``port``, its controller at ``controller_port``.

    The ports are the caller's to keep: clients of an earlier start find the broker again on the same one. Killed at
    any moment, itself or its owner, it starts again on the same folder with every acknowledged record.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        *,
        log: Path | None = None,
        cache: Path | None = None,
        heap_mb: int = 256,
        java_options: Sequence[str] = (),
        inherit: Sequence[int] = (),
        progress: Progress = lambda done, of: None,
    ) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.bootstrap = f"{LOOPBACK}:{port}"
        self.log = log or self.folder / "kafka.log"
        self._controller = f"{LOOPBACK}:{controller_port}"
        self._cache = cache or cache_folder()
        self._options = [f"-Xmx{heap_mb}m", *java_options]
        self._progress = progress
        self._data = self.folder / "data"
        self._fresh = self.folder / "data.new"
        self._config = self.folder / "server.properties"
        self._lock = FolderLock(self.folder)
        self._inherit = tuple(inherit)
        self._jars: list[Path] = []
        self._child: Child | None = None
        self._ready = False

    @property
    def child(self) -> Child:
        """The running broker; ServerError before it was started."""
        if self._child is None:
            raise ServerError("Kafka has not been started.")
        return self._child

    async def start(self, *, timeout: float = 180.0) -> None:
        """Take the folder, fetch the jars and format the log if need be, return when the broker answers a metadata
        request.

        FolderHeldError when another living process owns the folder, DownloadError when a jar cannot be had,
        ServerError with the end of the log when the broker does not start.
        """
        await self._lock.acquire()
        # Prompts and tenants are in the log.
        self.folder.chmod(0o700)
        try:
            self._jars = await asyncio.to_thread(fetch, self._cache, progress=self._progress)
            if not self._is_formatted():
                await self._format()
            await self.run(timeout=timeout)
        except BaseException:
            await self.stop()
            raise

    async def run(self, *, timeout: float = 180.0) -> None:
        """Start the broker over a folder that is already ours: the second half of ``start``, and all of a restart."""
        self._write_config(self._data)
        self._ready = False
        # Its owner's death kills it: a softer signal has been seen to hang, and whoever starts next would wait for it.
        child = self._child = Child(
            [*self._java(), "kafka.Kafka", self._config],
            log=self.log,
            inherit=[self._lock.descriptor, *self._inherit],
        )
        deadline = time.monotonic() + timeout
        while not await self._answers():
            if child.returncode is not None:
                raise ServerError(f"Kafka ended with status {child.returncode}:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                await child.stop(signal.SIGKILL, 10)
                raise ServerError(f"Kafka did not answer within {timeout:.0f} s:\n{tail(self.log)}")
            await asyncio.sleep(0.05)
        self._ready = True

    async def stop(self, *, grace: float = 30.0) -> None:
        """End it in order, or after ``grace`` seconds in any case, and give the folder up."""
        if self._child is not None:
            # Asked to end while it starts, Kafka can wait for itself for ever; then it has acknowledged nothing yet.
            await self._child.stop(signal.SIGTERM if self._ready else signal.SIGKILL, grace)
            self._child = None
        self._lock.release()

    def _is_formatted(self) -> bool:
        return (self._data / "meta.properties").exists()

    async def _format(self) -> None:
        """Format beside, then rename: a half-made log folder is never taken for a whole one."""
        await asyncio.to_thread(shutil.rmtree, self._fresh, ignore_errors=True)
        self._write_config(self._fresh)
        cluster = base64.b64encode(uuid.uuid4().bytes, b"AB").decode().rstrip("=")  # a "-" in front would be an option
        await run_to_end(
            [*self._java(), "kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", self._config],
            log=self.log,
            inherit=[self._lock.descriptor, *self._inherit],
        )
        try:
            self._fresh.rename(self._data)
        except OSError as error:
            raise ServerError(
                f"{self._data} is in the way: it is no Kafka log and not empty. Move it and start again."
            ) from error

    def _write_config(self, data: Path) -> None:
        listeners = {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{self._controller}",
            "log.dirs": str(data),
        }
        self._config.write_text("".join(f"{key}={value}\n" for key, value in {**SETTINGS, **listeners}.items()))
        (self.folder / "log4j2.properties").write_text(LOGGING)
        (self.folder / "tmp").mkdir(exist_ok=True)

    def _java(self) -> list[str | Path]:
        return [
            java(),
            *self._options,
            *archive_options(self._cache),
            "-Xms64m",
            "-XX:+UseSerialGC",
            # The second compiler took a third of Kafka's CPU and gave nothing back at a thousand records a second.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            "-cp",
            ":".join(map(str, self._jars)),
        ]

    async def _answers(self) -> bool:
        """Whether a metadata request names a broker."""
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:  # asked first, because aiokafka logs an error for each refused connection
            return False
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        try:
            await admin.start()
            if not (await admin.describe_cluster())["brokers"]:
                return False
            with contextlib.suppress(KafkaError):  # asked for the first time it makes the topic of offsets, which takes
                await admin.find_coordinator("backlot")  # a while; no consumer should have to wait for it
            return True
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()
