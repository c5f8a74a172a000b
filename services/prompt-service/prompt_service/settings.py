"""What prompt-service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationInfo, field_validator

from chassis.settings import ServiceSettings, service_config
from prompt_service.composing.language_model import Endpoint
from prompt_service.templates import SHIPPED, BrokenTemplates, load_templates


class Settings(ServiceSettings):
    """Beside what every service reads: where the templates are, how long an unknown kit is waited for, who composes."""

    model_config = service_config("PROMPT_SERVICE_")

    templates_dir: Path = Field(default=SHIPPED, description="folder of templates, {name}/{version}.yaml")
    kit_wait_seconds: float = Field(
        default=60.0, gt=0, description="how long a job waits for a kit that is not there yet"
    )

    composer_url: AnyHttpUrl | None = Field(
        default=None,
        description="OpenAI-compatible endpoint that composes manifests, up to /v1; without it rules do",
    )
    composer_model: str | None = Field(
        default=None, max_length=200, validate_default=True, description="the model's name at that endpoint"
    )
    composer_api_key: SecretStr | None = Field(
        default=None, validate_default=True, description="the endpoint's key, where it needs one"
    )
    composer_timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="how long one answer of the composer is waited for"
    )

    @field_validator("composer_url")
    @classmethod
    def _is_plain(cls, value: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if value is not None and (value.username or value.password or value.query or value.fragment):
            raise ValueError("must be an address alone: the key has a setting of its own")
        return value

    @field_validator("composer_model", "composer_api_key")
    @classmethod
    def _belongs_to_an_endpoint(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        url = info.data.get("composer_url")
        if "composer_url" in info.data and value is not None and url is None:
            raise ValueError("needs PROMPT_SERVICE_COMPOSER_URL beside it")
        if info.field_name == "composer_model" and value is None and url is not None:
            raise ValueError("is not set, and PROMPT_SERVICE_COMPOSER_URL is")
        return value

    @property
    def composer(self) -> Endpoint | None:
        """Which language model composes manifests; None where rules do."""
        if self.composer_url is None or self.composer_model is None:
            return None
        key = self.composer_api_key.get_secret_value() if self.composer_api_key else None
        return Endpoint(str(self.composer_url), self.composer_model, key)

    @field_validator("templates_dir")
    @classmethod
    def _are_whole(cls, value: Path) -> Path:
        # Read here as well as by the wiring, so that they are told together with the other settings that are wrong.
        try:
            load_templates(value)
        except BrokenTemplates as error:
            raise ValueError("\n".join(error.problems)) from error
        return value
