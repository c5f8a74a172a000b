"""What prompt-service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chassis.settings import ServiceSettings, service_config
from prompt_service.templates import SHIPPED


class Settings(ServiceSettings):
    """Beside what every service reads: where the templates are and how long an unknown kit is waited for."""

    model_config = service_config("PROMPT_SERVICE_")

    templates_dir: Path = Field(default=SHIPPED, description="folder of templates, {name}/{version}.yaml")
    kit_wait_seconds: float = Field(
        default=60.0, gt=0, description="how long a job waits for a kit that is not there yet"
    )
