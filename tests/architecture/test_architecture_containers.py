"""docker-compose.yml runs the system that stack/ runs: the same servers, every service, nothing secret in the file."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
import yaml

from chassis.migrations import READER_ROLE
from chassis.settings import ProcessSettings, ServiceSettings, load, variable
from stack.jars import pinned
from tests.architecture.source import ROOT, Service, services

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, Any] = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / "deploy/docker/example.env").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
DATABASES = (ROOT / "deploy/docker/make-databases.sh").read_text(encoding="utf-8")
ADDRESSES = {f"{service.package.name.upper()}_URL" for service in services()}
VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?][^}]*)?\}")

each_service = pytest.mark.parametrize("service", services(), ids=lambda service: service.folder.name)


def test_the_containers_are_kafka_postgres_and_the_services() -> None:
    assert set(CONTAINERS) == {"kafka", "postgres"} | {service.folder.name for service in services()}


def test_kafka_is_the_one_that_runs_without_containers() -> None:
    """A behaviour that was tested on one version is not promised on another."""
    version = next(jar.version for jar in pinned() if jar.artifact == "kafka-clients")
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{version}"


@each_service
def test_a_service_is_built_by_the_one_dockerfile(service: Service) -> None:
    build = CONTAINERS[service.folder.name]["build"]
    assert build["dockerfile"] == "deploy/docker/Dockerfile"
    assert build["args"] == {"SERVICE": service.package.name}


@each_service
def test_a_service_may_write_its_volumes_alone(service: Service) -> None:
    container = CONTAINERS[service.folder.name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]


@each_service
def test_a_service_has_a_database_and_a_role_of_its_own(service: Service) -> None:
    name = service.package.name
    password = f"{name.upper()}_DATABASE_PASSWORD"
    url = CONTAINERS[service.folder.name]["environment"][f"{name.upper()}_DATABASE_URL"]
    assert url == f"postgresql://{name}:${{{password}}}@postgres:5432/{name}"
    assert f'make_database {name} "${password}"' in DATABASES


@each_service
def test_a_service_is_told_all_that_it_must_know_and_nothing_it_does_not_read(service: Service) -> None:
    settings = settings_of(service)
    readable = {variable(settings, name) for name in settings.model_fields}
    required = {variable(settings, name) for name, field in settings.model_fields.items() if field.is_required()}
    told = CONTAINERS[service.folder.name]["environment"]
    assert required <= set(told)
    assert {name for name in told if name.startswith(f"{service.package.name.upper()}_")} <= readable | ADDRESSES


def settings_of(service: Service) -> type[ProcessSettings]:
    module = importlib.import_module(f"{service.package.name}.settings")
    own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return next(one for one in own if issubclass(one, ProcessSettings))


def test_the_connector_is_started_only_by_its_profile_and_knows_no_secret_of_the_house() -> None:
    """Nobody is asked for a Notion token who has none; and another platform signs nothing in our name."""
    assert {name: one["profiles"] for name, one in CONTAINERS.items() if "profiles" in one} == {
        "notion-connector": ["notion"]
    }
    told = CONTAINERS["notion-connector"]["environment"]
    assert not {name for name in told if name.startswith(("BACKLOT_SECRET", "BACKLOT_OBJECTS", "API_GATEWAY_"))}
    assert [name for name, one in CONTAINERS.items() if "NOTION_TOKEN" in one["environment"]] == ["notion-connector"]


def test_the_role_that_requests_read_as_is_made() -> None:
    """A service's own role may not create roles in a container."""
    assert f"CREATE ROLE {READER_ROLE} NOLOGIN" in DATABASES


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_says_whether_it_is_healthy(name: str) -> None:
    """What waits for it would otherwise start too early."""
    assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"


def test_the_worker_hands_bytes_to_the_storage_through_one_volume() -> None:
    mounts = {name: set(CONTAINERS[name]["volumes"]) for name in ("provider-worker", "storage-service")}
    folder = CONTAINERS["storage-service"]["environment"]["BACKLOT_OBJECTS_DIR"]
    assert mounts["provider-worker"] & mounts["storage-service"] == {f"objects:{folder}"}


def test_every_volume_has_a_name() -> None:
    """An unnamed one is lost with its container."""
    used = {mount.partition(":")[0] for one in CONTAINERS.values() for mount in one.get("volumes", ())}
    assert {name for name in used if not name.startswith("./")} == set(COMPOSE["volumes"])


def test_every_secret_comes_from_the_environment() -> None:
    found = {
        f"{name} {variable}": value
        for name, one in CONTAINERS.items()
        for variable, value in one["environment"].items()
        if re.search(r"SECRET|PASSWORD|_KEY$", variable) and not VARIABLE.match(str(value))
    }
    assert found == {}


def test_no_secret_has_a_default_and_an_empty_one_stops_the_start_in_words() -> None:
    """Compose itself reads the file without them; what needs one says so: the services, Postgres, our script."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert re.findall(r"\$\{\w*(?:SECRET|PASSWORD|_KEY):-[^}]+\}", text) == []
    with pytest.raises(SystemExit):
        load(ServiceSettings, {"BACKLOT_SECRET": "", "INTERNAL_PORT": "1"})
    assert "is empty: set it in .env" in DATABASES


def test_the_example_names_every_variable_that_is_required() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+):-\}", text)) <= set(EXAMPLE)
    assert set(EXAMPLE) <= set(VARIABLE.findall(text))
