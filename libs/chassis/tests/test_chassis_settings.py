"""Settings: one environment, all faults at once, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.settings import PublicSettings, describe, load, read, service_config, variable


class Settings(PublicSettings):
    model_config = service_config("SHOP_")

    shelf: Path = Path("/shelf")


ENVIRON = {
    "SHOP_DATABASE_URL": "postgresql://shop:hush@db.example:5432/shop",
    "SHOP_INTERNAL_PORT": "8081",
    "SHOP_HTTP_PORT": "8080",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "BACKLOT_SECRET": "sixteen characters at least",
}


def test_a_complete_environment_is_read() -> None:
    settings = read(Settings, ENVIRON)
    assert settings.http_port == 8080
    assert settings.kafka_bootstrap_servers == "kafka:9092"
    assert settings.secret.get_secret_value() == "sixteen characters at least"
    assert settings.log_level == "INFO"


def test_every_fault_is_named_at_once_by_its_environment_variable() -> None:
    with pytest.raises(StartError) as caught:
        read(Settings, {"SHOP_DATABASE_URL": "mysql://a/b", "SHOP_INTERNAL_PORT": "no port", "BACKLOT_SECRET": "short"})
    said = "\n".join(caught.value.problems)
    for name in (
        "SHOP_DATABASE_URL",
        "SHOP_INTERNAL_PORT",
        "SHOP_HTTP_PORT",
        "KAFKA_BOOTSTRAP_SERVERS",
        "BACKLOT_SECRET",
    ):
        assert name in said
    assert len(caught.value.problems) == 5


def test_a_fault_does_not_repeat_the_secret_that_is_at_fault() -> None:
    with pytest.raises(StartError) as caught:
        read(Settings, {**ENVIRON, "SHOP_DATABASE_URL": "mysql://shop:hush@db/shop", "BACKLOT_SECRET": "tooshort"})
    assert "hush" not in str(caught.value)
    assert "tooshort" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        ("postgresql://host:5432", "names no database"),
        ("postgresql:///shop", "names no host"),
        ("postgresql://host:99999/shop", "port"),
        ("redis://host/shop", "must begin with postgresql://"),
    ],
)
def test_a_database_url_that_leads_nowhere_is_refused_with_the_reason(dsn: str, why: str) -> None:
    with pytest.raises(StartError) as caught:
        read(Settings, {**ENVIRON, "SHOP_DATABASE_URL": dsn})
    assert why in str(caught.value)


@pytest.mark.parametrize("dsn", ["postgresql://u@/shop?host=/run/pg&port=5432", "postgres://u@host/shop"])
def test_other_forms_of_database_urls_are_taken(dsn: str) -> None:
    assert read(Settings, {**ENVIRON, "SHOP_DATABASE_URL": dsn}).database_url == dsn


def test_brokers_without_a_port_are_refused() -> None:
    with pytest.raises(StartError, match="'other' is not host:port"):
        read(Settings, {**ENVIRON, "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092,other"})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read(Settings, {**ENVIRON, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}).otlp_endpoint is None


def test_a_start_with_bad_settings_ends_with_code_2_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(Settings, {})
    assert ended.value.code == 2
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in capsys.readouterr().err


def test_settings_cannot_be_changed_and_show_no_secret() -> None:
    settings = read(Settings, ENVIRON)
    with pytest.raises(ValueError, match="frozen"):
        settings.http_port = 1
    shown = describe(settings) + repr(settings)
    assert "hush" not in shown
    assert "sixteen" not in shown
    assert "SHOP_HTTP_PORT=8080" in shown


def test_a_field_knows_its_environment_variable() -> None:
    assert variable(Settings, "http_port") == "SHOP_HTTP_PORT"
    assert variable(Settings, "secret") == "BACKLOT_SECRET"
