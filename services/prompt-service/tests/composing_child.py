"""A process that composes one story and ends, to be killed: `python -m tests.composing_child DSN URL`."""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine
from chassis.outbox import Outbox
from prompt_service.composing.language_model import Endpoint, LanguageModel
from prompt_service.composing.turns import Pace, Turns
from prompt_service.store.stories import PostgresStories
from tests.prompt_endpoint import KEY
from tests.prompt_harness import TEMPLATES


async def one_story(engine: AsyncEngine, url: str) -> bool:
    """Composes a story by the model at `url`; False where none was due."""
    stories = PostgresStories(engine, Outbox("/services/prompt-service"), TEMPLATES, patience=60)
    model = LanguageModel(Endpoint(url, "m", KEY))
    try:
        return await Turns(stories, model, Pace(answer_s=5, lease_s=15)).step()
    finally:
        await model.stop()


if __name__ == "__main__":
    dsn, url = sys.argv[1:]
    asyncio.run(one_story(make_engine(dsn, name="prompt-service"), url))
