"""The Notion connector is started where there is a token and told nothing of the house; the services know no Notion."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack.connector import kept_from_services, started, told
from stack.errors import StartRefusedError
from stack.plan import make_plan
from stack.services import CONNECTOR, SERVICES
from stack.system import System
from stack.testing import PostgresServer

STAND_IN = Path(__file__).with_name("standin_service.py")
START = """
import runpy, sys
sys.argv[1:] = ["{prefix}", *sys.argv[1:]]
runpy.run_path("{program}", run_name="__main__")
"""
GATEWAY = "http://127.0.0.1:8700"
SHARED = {
    "PATH": os.environ["PATH"],
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "BACKLOT_SECRET": "the house's own",
    "BACKLOT_OBJECTS_DIR": "/objects",
    "BACKLOT_LOG_LEVEL": "DEBUG",
    "API_GATEWAY_BOOTSTRAP_KEY": "bk_first",
    "STORAGE_SERVICE_URL": "http://127.0.0.1:8713",
    "OPENAI_API_KEY": "a provider's",
    "NOTION_TOKEN": "ntn_ours",
    "NOTION_DATABASE_ID": "248104cd477e80fdb757e945d38000bd",
    "NOTION_CONNECTOR_POLL_SECONDS": "1",
}


def test_without_a_token_the_five_services_are_started_and_nothing_else(tmp_path: Path) -> None:
    assert started({"NOTION_TOKEN": "", "NOTION_DATABASE_ID": "x"}) == SERVICES
    assert make_plan(tmp_path, 0, {}).services == SERVICES


def test_with_a_token_the_connector_is_started_after_them(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 0, {"NOTION_TOKEN": "ntn_ours"})
    assert plan.services == (*SERVICES, CONNECTOR)
    assert CONNECTOR.wave > max(spec.wave for spec in SERVICES)


def test_it_is_told_its_own_settings_an_address_and_a_key_and_nothing_of_the_house() -> None:
    assert told(SHARED, GATEWAY) == {
        "PATH": SHARED["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "BACKLOT_LOG_LEVEL": "DEBUG",
        "NOTION_TOKEN": "ntn_ours",
        "NOTION_DATABASE_ID": SHARED["NOTION_DATABASE_ID"],
        "NOTION_CONNECTOR_POLL_SECONDS": "1",
        "NOTION_CONNECTOR_API_KEY": "bk_first",
        "NOTION_CONNECTOR_GATEWAY_URL": GATEWAY,
    }


def test_a_key_of_its_own_is_used_in_place_of_the_first() -> None:
    assert told({**SHARED, "NOTION_CONNECTOR_API_KEY": "bk_its"}, GATEWAY)["NOTION_CONNECTOR_API_KEY"] == "bk_its"


def test_the_services_are_told_nothing_of_notion() -> None:
    assert not [name for name in kept_from_services(SHARED) if "NOTION" in name]
    assert kept_from_services(SHARED)["BACKLOT_SECRET"] == SHARED["BACKLOT_SECRET"]


@pytest.mark.integration
async def test_it_is_one_more_process_with_a_database_of_its_own(
    tmp_path: Path, kafka_bootstrap: str, postgres_server: PostgresServer
) -> None:
    folder = stand_ins(tmp_path)
    urls = {f"{spec.prefix}DATABASE_URL": postgres_server.url("postgres") for spec in (*SERVICES, CONNECTOR)}
    outside = {**urls, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "PYTHONPATH": str(folder)}
    async with System(tmp_path / "home", port=0, env={**outside, "NOTION_TOKEN": "ntn_ours"}) as system:
        assert CONNECTOR.name in system.info.processes
        assert CONNECTOR.package in system.info.databases
        assert CONNECTOR.name in system.info.readiness
    async with System(tmp_path / "home", port=0, env=outside) as system:
        assert CONNECTOR.name not in system.info.processes


@pytest.mark.integration
async def test_a_token_without_a_database_is_told_in_words(
    tmp_path: Path, kafka_bootstrap: str, postgres_server: PostgresServer
) -> None:
    folder = stand_ins(tmp_path, but=CONNECTOR.name)
    urls = {f"{spec.prefix}DATABASE_URL": postgres_server.url("postgres") for spec in (*SERVICES, CONNECTOR)}
    outside = {**urls, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "PYTHONPATH": str(folder)}
    with pytest.raises(StartRefusedError) as caught:
        await System(tmp_path / "home", port=0, env={**outside, "NOTION_TOKEN": "ntn_ours"}).start()
    assert any("notion-connector: NOTION_DATABASE_ID is not set" in problem for problem in caught.value.problems)


def stand_ins(folder: Path, *, but: str = "") -> Path:
    """A folder in which ``python -m <service>`` starts a stand-in."""
    for spec in (*SERVICES, CONNECTOR):
        if spec.name != but:
            package = folder / "stand-ins" / spec.package
            package.mkdir(parents=True)
            (package / "__init__.py").touch()
            start = START.format(prefix=spec.prefix, program=STAND_IN)
            (package / "__main__.py").write_text(start)
    return folder / "stand-ins"
