"""What notion-connector reads from the environment. It has no secret of the house: it is a client like any other."""

from __future__ import annotations

from uuid import UUID

from pydantic import AliasChoices, AnyHttpUrl, Field, SecretStr

from chassis.settings import ProcessSettings, service_config


class Settings(ProcessSettings):
    """Two keys, two addresses, and what the columns and their values are called in Notion."""

    model_config = service_config("NOTION_CONNECTOR_")

    token: SecretStr = Field(
        validation_alias=AliasChoices("NOTION_TOKEN", "token"),
        min_length=1,
        description="the internal integration secret of Notion; without it there is no connector",
    )
    notion_database_id: UUID = Field(
        validation_alias=AliasChoices("NOTION_DATABASE_ID", "notion_database_id"),
        description="the Notion database whose pages are read: the 32 letters in its address",
    )
    notion_url: AnyHttpUrl = Field(default=AnyHttpUrl("https://api.notion.com"), description="where Notion answers")
    gateway_url: AnyHttpUrl = Field(description="Backlot's public address")
    api_key: SecretStr = Field(
        min_length=1, description="an API key of Backlot with the scopes jobs:write, jobs:read and tenant:read"
    )
    poll_seconds: float = Field(default=5.0, gt=0, description="pause between two looks at the Notion database")
    give_up_seconds: float = Field(
        default=86_400.0, gt=0, description="how long a page that Notion refuses is tried again; a day"
    )

    status_ask: str = Field(default="Generate Assets", min_length=1, description="the status that asks for pictures")
    status_generating: str = Field(default="Generating Assets", min_length=1, description="the status while they come")
    status_ready: str = Field(default="Assets Ready", min_length=1, description="the status when all are there")
    status_error: str = Field(default="Asset Error", min_length=1, description="the status when some are not")

    property_status: str = Field(default="Status", min_length=1, description="column of the status")
    property_topic: str = Field(default="Topic", min_length=1, description="column of the topic")
    property_story_direction: str = Field(default="Story Direction", min_length=1, description="column of the story")
    property_channel: str = Field(default="Channel", min_length=1, description="column of the channel")
    property_project: str = Field(default="Project", min_length=1, description="column of the project")
    property_error_log: str = Field(default="Error Log", min_length=1, description="column of what went wrong")
    property_job_id: str = Field(default="Job ID", min_length=1, description="column of the job's id")
    property_total_cost: str = Field(default="Total Cost", min_length=1, description="column of the cost in USD")
    property_generated: str = Field(default="Assets Generated", min_length=1, description="column: pictures made")
    property_skipped: str = Field(default="Assets Skipped", min_length=1, description="column: pictures there before")
    property_failed: str = Field(default="Assets Failed", min_length=1, description="column: pictures that failed")
