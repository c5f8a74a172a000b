"""The base of every event."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A value inside an event. Unknown fields are ignored, so that a newer producer never stops an older consumer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")


class Event(Part):
    """What happened, in the past tense. `type` is its versioned CloudEvents type, `topic` the one that carries it.

    A breaking change is a new type beside the old one, never a change of this one.
    """

    type: ClassVar[str]
    topic: ClassVar[str]
