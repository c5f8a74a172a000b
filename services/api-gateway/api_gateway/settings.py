"""What the gateway reads from the environment."""

from __future__ import annotations

import re

from pydantic import AliasChoices, AnyHttpUrl, Field, SecretStr, field_validator

from api_gateway.keys import looks_like_key
from chassis.foreign import origin_of
from chassis.settings import PublicSettings, service_config
from chassis.telemetry import mask_text

_ORIGIN = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


def _parts(listed: str) -> list[str]:
    return [part for part in map(str.strip, listed.split(",")) if part]


class Settings(PublicSettings):
    """Settings of api-gateway; see `chassis.settings` for those that all services have."""

    model_config = service_config("API_GATEWAY_")

    prompt_service_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("PROMPT_SERVICE_URL", "prompt_service_url"),
        description="internal address of prompt-service",
    )
    provider_worker_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("PROVIDER_WORKER_URL", "provider_worker_url"),
        description="internal address of provider-worker",
    )
    storage_service_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("STORAGE_SERVICE_URL", "storage_service_url"),
        description="internal address of storage-service",
    )
    asset_public_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("ASSET_PUBLIC_URL", "asset_public_url"),
        description="public origin of the bytes, e.g. https://assets.example",
    )
    bootstrap_key: SecretStr | None = Field(
        default=None, description="an API key with all scopes that works from the start: bk_ and at least 21 characters"
    )
    key_cache_seconds: float = Field(
        default=5.0, ge=0, le=300, description="how long a verified key is not looked up again, and a revoked one works"
    )
    upload_max_bytes: int = Field(
        default=100 * 1024 * 1024, ge=1024, description="the largest upload that is taken; storage-service has its own"
    )
    accept_group: int = Field(default=200, ge=1, le=1000, description="requests that share one commit at most")
    cancel_patience_seconds: float = Field(
        default=60.0, gt=0, description="how long a job that was asked to stop is waited for before it is sealed"
    )
    request_patience_seconds: float = Field(
        default=60.0, gt=0, description="how long a job may go without an answer before it is said once more"
    )
    sweep_seconds: float = Field(default=1.0, gt=0, description="pause between two looks at deadlines")
    watch_seconds: float = Field(
        default=1.0, gt=0, description="pause between two looks at what other replicas changed, while requests wait"
    )
    url_seconds: int = Field(
        default=3600, ge=1, le=7 * 24 * 3600, description="how long a signed address of a private asset is good for"
    )

    webhook_origins: str = Field(
        default="",
        description="origins inside the own network that webhooks may lead to, plain http too, with commas between: "
        "http://10.0.0.5:9000; without it they lead to public https addresses alone",
    )
    webhook_keep_seconds: float = Field(
        default=7 * 24 * 3600.0, ge=60, description="deliveries to webhooks are deleted so long after they ended"
    )

    @property
    def trusted_origins(self) -> frozenset[str]:
        """The origins in `webhook_origins`."""
        return frozenset(origin_of(origin) for origin in _parts(self.webhook_origins))

    @field_validator("webhook_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in _parts(value):
            # Nothing but scheme, host and port: whoever names a path would think that it counts.
            found = _ORIGIN.fullmatch(origin)
            if found is None or not 0 < int(found["port"] or 1) < 2**16:
                raise ValueError(f"{mask_text(origin)!r} is no origin such as http://10.0.0.5:9000")
        return value

    @field_validator("bootstrap_key")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not looks_like_key(value.get_secret_value()):
            raise ValueError("is no API key: bk_ and 21 to 197 ASCII characters")
        return value
