"""What prompt-service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from chassis.settings import ServiceSettings, service_config
from prompt_service.templates import SHIPPED, BrokenTemplates, load_templates


class Settings(ServiceSettings):
    """Beside what every service reads: where the templates are and how long an unknown kit is waited for."""

    model_config = service_config("PROMPT_SERVICE_")

    templates_dir: Path = Field(default=SHIPPED, description="folder of templates, {name}/{version}.yaml")
    kit_wait_seconds: float = Field(
        default=60.0, gt=0, description="how long a job waits for a kit that is not there yet"
    )

    @field_validator("templates_dir")
    @classmethod
    def _are_whole(cls, value: Path) -> Path:
        # Read here as well as by the wiring, so that they are told together with the other settings that are wrong.
        try:
            load_templates(value)
        except BrokenTemplates as error:
            raise ValueError("\n".join(error.problems)) from error
        return value
