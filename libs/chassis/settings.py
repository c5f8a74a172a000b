"""Settings from the environment: frozen, checked whole, every fault named at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AliasChoices, AnyHttpUrl, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.dsn import check_dsn
from chassis.errors import StartError

Port = Annotated[int, Field(ge=1, le=65535)]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def service_config(prefix: str) -> SettingsConfigDict:
    """The `model_config` of a service's settings: its own variables begin with `prefix`, e.g. `COST_LEDGER_`."""
    return SettingsConfigDict(
        env_prefix=prefix, frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )


_given: ContextVar[Mapping[str, str] | None] = ContextVar("environ", default=None)


class _Environment(EnvSettingsSource):
    """Reads the mapping given to `read` in place of the process environment."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = _given.get()
        return super()._load_env_vars() if given is None else {key.lower(): text for key, text in given.items() if text}


class DatabaseSettings(BaseSettings):
    """What a command needs that looks at a service's database and is no running service."""

    model_config = service_config("")

    database_url: str = Field(repr=False, description="PostgreSQL, e.g. postgresql://user:password@host:5432/database")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        return check_dsn(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment alone (and what a test passes by name)."""
        return init_settings, _Environment(settings_cls)


class ProcessSettings(DatabaseSettings):
    """What every process on the chassis reads: all that one outside the house needs, which has no secret of ours."""

    model_config = service_config("")

    host: str = Field(default="127.0.0.1", description="address the servers bind to")
    internal_port: Port = Field(description="port of /livez, /readyz, /metrics and the internal API")
    kafka_bootstrap_servers: Annotated[str, StringConstraints(min_length=3)] = Field(
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers"),
        description="Kafka brokers, host:port separated by commas",
    )
    log_level: Level = Field(
        default="INFO", validation_alias=AliasChoices("BACKLOT_LOG_LEVEL", "log_level"), description="log level"
    )
    otlp_endpoint: AnyHttpUrl | None = Field(
        default=None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
        description="OTLP/HTTP collector; without it no spans are made",
    )
    consumer_silence_seconds: float = Field(
        default=60.0, gt=0, description="records wait and nothing is handled for so long: the consumer is rebuilt"
    )
    consumer_session_seconds: float = Field(
        default=10.0, gt=0, description="Kafka session timeout: how long a killed consumer holds its partitions"
    )
    consumer_instance: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="a name by which a restarted process takes its partitions back at once; never the same for two "
        "processes of a service that run together",
    )
    dead_letter_without_limit: bool = Field(
        default=False, description="lets halted consumers set every failing record aside; for one restart, knowingly"
    )
    drain_seconds: float = Field(default=15.0, gt=0, description="time for work in flight after SIGTERM")
    database_pool: int = Field(default=8, ge=2, le=100, description="database connections of this process")

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{address.strip()!r} is not host:port")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class ServiceSettings(ProcessSettings):
    """What every service reads. Subclasses set `model_config = service_config("COST_LEDGER_")` and add their own."""

    model_config = service_config("")

    secret: SecretStr = Field(
        validation_alias=AliasChoices("BACKLOT_SECRET", "secret"),
        min_length=16,
        description="signs what services show each other and clients; at least 16 characters, the same in all services",
    )


class PublicSettings(ServiceSettings):
    """For a service that also answers clients."""

    http_port: Port = Field(description="public port")


S = TypeVar("S", bound=DatabaseSettings)


def read(cls: type[S], environ: Mapping[str, str] | None = None) -> S:
    """The settings in the environment, or in `environ` alone. Raises `StartError` with every fault."""
    token = _given.set(environ)
    try:
        return cls()
    except ValidationError as error:
        raise StartError([said for problem in error.errors() for said in _in_words(cls, problem)]) from None
    finally:
        _given.reset(token)


def load(cls: type[S], environ: Mapping[str, str] | None = None) -> S:
    """As `read`, for the start of a process: prints all faults and exits with code 2."""
    try:
        return read(cls, environ)
    except StartError as error:
        exit_with(error.problems)


def exit_with(problems: tuple[str, ...]) -> NoReturn:
    """Ends the process with code 2 after saying every problem on standard error."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    sys.stderr.write(f"cannot start:\n{lines}\n")
    sys.stderr.flush()
    raise SystemExit(2)


def describe(settings: ProcessSettings) -> str:
    """Every setting as `VARIABLE=value`, secrets masked: what `--check-config` prints."""
    cls = type(settings)
    values = settings.model_dump()
    return "\n".join(f"{variable(cls, name)}={_shown(name, values[name])}" for name in cls.model_fields)


def variable(cls: type[DatabaseSettings], name: str) -> str:
    """The environment variable that sets field `name`."""
    field = cls.model_fields.get(name)
    alias = field.validation_alias if field else None
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    if isinstance(alias, str):
        return alias
    return str(cls.model_config.get("env_prefix", "")) + name.upper()


def _in_words(cls: type[DatabaseSettings], problem: Any) -> list[str]:
    location = str(problem["loc"][0]) if problem["loc"] else ""
    named = next((name for name in cls.model_fields if location in (name, variable(cls, name))), None)
    if named is None:
        return [f"{location or 'settings'}: {problem['msg']}"]
    about = cls.model_fields[named].description
    said = "is not set" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    return [f"{variable(cls, named)} {line}" + (f" ({about})" if about else "") for line in said.splitlines()]


def _shown(name: str, value: Any) -> str:
    from chassis.telemetry import mask_text  # noqa: PLC0415 - telemetry is not needed to read settings

    return "***" if isinstance(value, SecretStr) else mask_text("" if value is None else str(value))
