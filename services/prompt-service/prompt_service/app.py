"""Wiring: the one place where prompt-service's parts are built and handed to each other."""

from __future__ import annotations

from chassis.database import make_engine
from chassis.errors import StartError
from chassis.outbox import Outbox
from chassis.service import Loop, Service
from prompt_service import http
from prompt_service.composing.language_model import LanguageModel, NoModel
from prompt_service.composing.turns import Pace, Turns
from prompt_service.events import Prompts
from prompt_service.settings import Settings
from prompt_service.store.stories import PostgresStories
from prompt_service.templates import BrokenTemplates, load_templates
from schemas.topics import PROMPT_SERVICE, PROMPTS

COMPOSED_AT_ONCE = 4
"""Stories of which the language model is asked at the same time, by this process."""
ANSWERS_WAITED_FOR = 3
"""After the time of so many answers a story is composed by rules, whatever it waited for."""


def build(settings: Settings) -> Service:
    """The service, not yet started. Raises `StartError` with everything that is wrong with the templates."""
    try:
        templates = load_templates(settings.templates_dir)
    except BrokenTemplates as error:
        raise StartError(error.problems) from error
    engine = make_engine(settings.database_url, name=PROMPT_SERVICE)
    outbox = Outbox(f"/services/{PROMPT_SERVICE}")
    model = LanguageModel(settings.composer) if settings.composer else None
    prompts = Prompts(
        engine, outbox, templates, kit_wait_seconds=settings.kit_wait_seconds, has_composer=model is not None
    )
    answer_s = settings.composer_timeout_seconds
    stories = PostgresStories(engine, outbox, templates, patience=ANSWERS_WAITED_FOR * answer_s)
    turns = Turns(stories, model or NoModel(), Pace(answer_s))
    composers = COMPOSED_AT_ONCE if model else 1  # without a model, what waited for it is composed all the same
    loops = [Loop(f"composing-{number}", turns.step, idle=1.0) for number in range(1, composers + 1)]
    return Service(
        name=PROMPT_SERVICE,
        package="prompt_service",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=http.make(engine, templates, secret=settings.secret),
        subscriptions=[prompts.subscription()],
        topics=[PROMPTS],
        loops=[Loop("waiting-for-kits", prompts.try_waiting, idle=1.0), *loops],
        resources=[model] if model is not None else [],
    )
