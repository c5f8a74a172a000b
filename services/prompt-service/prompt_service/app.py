"""Wiring: the one place where prompt-service's parts are built and handed to each other."""

from __future__ import annotations

from chassis.database import make_engine
from chassis.errors import StartError
from chassis.outbox import Outbox
from chassis.service import Loop, Service
from prompt_service import http
from prompt_service.events import Prompts
from prompt_service.settings import Settings
from prompt_service.templates import BrokenTemplates, load_templates
from schemas.topics import PROMPT_SERVICE, PROMPTS


def build(settings: Settings) -> Service:
    """The service, not yet started. Raises `StartError` with everything that is wrong with the templates."""
    try:
        templates = load_templates(settings.templates_dir)
    except BrokenTemplates as error:
        raise StartError(error.problems) from error
    engine = make_engine(settings.database_url, name=PROMPT_SERVICE)
    outbox = Outbox(f"/services/{PROMPT_SERVICE}")
    prompts = Prompts(engine, outbox, templates, kit_wait_seconds=settings.kit_wait_seconds)
    return Service(
        name=PROMPT_SERVICE,
        package="prompt_service",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=http.make(engine, templates, secret=settings.secret),
        subscriptions=[prompts.subscription()],
        topics=[PROMPTS],
        loops=[Loop("waiting-for-kits", prompts.try_waiting, idle=1.0)],
    )
