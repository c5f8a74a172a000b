"""Fixtures with the real Kafka and the real PostgreSQL, loaded by the root ``conftest.py``.

One server of each kind per test session, started when the first test asks for it: in containers when a Docker engine
answers, otherwise as child processes of ours. Every test gets a database and topics of its own; the topics that
services know by name are empty when it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import subprocess
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import OFFSET_END, NewTopic, TopicPartition

from stack.kafka import SETTINGS, Kafka
from stack.ports import free_ports
from stack.postgres import Postgres, programs

Server = TypeVar("Server")

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.1.0"
# As it comes out of template0, where every schema but `public` belongs to the server.
EMPTY = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END
$$
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running PostgreSQL; ``admin_url`` is a superuser's DSN to its database ``postgres``."""

    admin_url: str

    def url(self, database: str) -> str:
        """DSN of another database on it."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{database}"))

    def execute(self, *statements: str) -> None:
        """Run statements as superuser one after the other, outside of any transaction; ``\\c`` goes to a database."""
        command = [str(programs() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.admin_url]
        for statement in statements:
            command += ["-c", statement]
        environ = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True, timeout=60)


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """A running broker at ``bootstrap`` (host:port)."""

    bootstrap: str

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic and wait until the broker has it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config))
        for done in admin.create_topics([topic], operation_timeout=30).values():
            done.result(30)
        deadline = time.monotonic() + 30
        while not _is_served(admin, name, partitions):  # the controller has it, the broker hears of it a moment later
            assert time.monotonic() < deadline, f"topic {name} did not appear"
            time.sleep(0.01)

    def empty(self) -> None:
        """Delete what stands on the topics that every service knows by name; those of a test are its own anyhow."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = admin.list_topics(timeout=10).topics
        all_of_it = [
            TopicPartition(name, partition, OFFSET_END)
            for name, topic in topics.items()
            if name.startswith("backlot.")
            for partition in topic.partitions
        ]
        if all_of_it:
            for done in admin.delete_records(all_of_it, operation_timeout=30).values():
                done.result(30)


def _is_served(admin: AdminClient, topic: str, partitions: int) -> bool:
    seen = admin.list_topics(timeout=10).topics.get(topic)
    return (
        seen is not None and len(seen.partitions) == partitions and all(p.leader >= 0 for p in seen.partitions.values())
    )


class TopicFactory(Protocol):
    """Makes a topic whose name begins with ``name`` and is like no other; returns the name."""

    def __call__(self, name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL for the whole session."""
    with contextlib.ExitStack() as held:
        if container := _in_container(held, _postgres_container):
            yield container
            return
        # Killed processes lose nothing without fsync, only killed machines do.
        server = Postgres(tmp_path_factory.mktemp("postgres"), *free_ports(1), settings={"fsync": "off"})
        asyncio.run(server.start())
        held.callback(lambda: asyncio.run(server.stop()))
        yield PostgresServer(server.url())


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A Kafka broker for the whole session."""
    with contextlib.ExitStack() as held:
        if container := _in_container(held, _kafka_container):
            yield container
            return
        server = Kafka(tmp_path_factory.mktemp("kafka"), *free_ports(2))
        asyncio.run(server.start())
        held.callback(lambda: asyncio.run(server.stop()))
        yield KafkaServer(server.bootstrap)


class EmptyDatabase:
    """A database that is empty and has a new name each time it is asked for: making one takes five times as long."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = _new_name()
        server.execute(f"CREATE DATABASE {self.name} TEMPLATE template0")

    def renew(self) -> None:
        """Drop all that is in it, whoever is still connected, and let nobody find it by its old name."""
        old, self.name = self.name, _new_name()
        self._server.execute(
            f"\\c {old}",
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            EMPTY,
            f"ALTER DATABASE {old} RESET ALL",
            "\\c postgres",
            f"ALTER DATABASE {old} RENAME TO {self.name}",
        )


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def empty_database(postgres_server: PostgresServer) -> EmptyDatabase:
    """The database that tests have one after the other."""
    return EmptyDatabase(postgres_server)


@pytest.fixture
def database_url(postgres_server: PostgresServer, empty_database: EmptyDatabase) -> Iterator[str]:
    """DSN (``postgresql://``) of an empty database with a name of its own; gone after the test."""
    yield postgres_server.url(empty_database.name)
    empty_database.renew()


@pytest.fixture
def kafka_bootstrap(kafka_server: KafkaServer) -> str:
    """host:port of the session's broker, on which nothing is left of the tests before."""
    kafka_server.empty()
    return kafka_server.bootstrap


@pytest.fixture
def kafka_topic(kafka_server: KafkaServer) -> TopicFactory:
    """Makes topics of this test's own: ``kafka_topic("jobs", partitions=3)``."""

    def create(name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        unique = f"{name}-{uuid.uuid4().hex[:12]}"
        kafka_server.create_topic(unique, partitions, config or {})
        return unique

    return create


@functools.cache
def docker_answers() -> bool:
    """Whether a Docker engine can be used from here."""
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 - slow, and seldom there

    try:
        with contextlib.closing(docker.from_env(timeout=3)) as engine:
            return bool(engine.ping())
    except Exception:  # whatever is wrong with Docker, there is another way
        return False


def _in_container(
    held: contextlib.ExitStack, start: Callable[[], contextlib.AbstractContextManager[Server]]
) -> Server | None:
    """The server from ``start``; None where there is no Docker, or one without the image and a network to fetch it."""
    if not docker_answers():
        return None
    try:
        return held.enter_context(start())
    except Exception as error:
        warnings.warn(f"Docker answers but does not run the image, so our own processes serve: {error}", stacklevel=2)
        return None


@contextlib.contextmanager
def _postgres_container() -> Iterator[PostgresServer]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    word = secrets.token_urlsafe(12)
    container = PostgresContainer(POSTGRES_IMAGE, username="postgres", password=word, dbname="postgres", driver=None)
    with container.with_command("postgres -c max_connections=200 -c fsync=off") as running:
        yield PostgresServer(running.get_connection_url())


@contextlib.contextmanager
def _kafka_container() -> Iterator[KafkaServer]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    port = free_ports(1)[0]  # chosen before the start, because the broker has to advertise it
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    bootstrap = f"{container.get_container_host_ip()}:{port}"
    settings = {
        **SETTINGS,
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"PLAINTEXT://{bootstrap}",
        "controller.quorum.voters": "1@127.0.0.1:9093",
    }
    for key, value in settings.items():
        container.with_env(f"KAFKA_{key.upper().replace('.', '_')}", value)
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
        yield KafkaServer(bootstrap)
