"""A composing process that dies: its story is another's when the lease is over, and has one answer."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from chassis.ids import uuid7
from chassis.testing import event_of
from schemas.events import JobRequested, PromptsPrepared
from schemas.parts import JobSpec, Kind, ManifestSpec
from tests.composing_child import one_story
from tests.prompt_endpoint import Stub, composition, endpoint, says
from tests.prompt_harness import TENANT, USER, Service, service_on

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
DIED = 137


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as service:
        service.prompts = replace(service.prompts, has_composer=True)
        yield service


async def killed(database_url: str, stub: Stub, at: str) -> int:
    """The exit status of a process that takes a story and dies at a point on its way."""
    command = [sys.executable, "-m", "tests.composing_child", database_url, stub.url]
    environment = {**os.environ, "BACKLOT_CRASH_AT": at}
    child = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT)
    return await asyncio.wait_for(child.wait(), 60)


@pytest.mark.parametrize(("point", "asked"), [("prompts.before_compose", 1), ("prompts.after_compose", 2)])
async def test_a_story_whose_process_is_killed_is_composed_by_the_next_one(
    service: Service, database_url: str, point: str, asked: int
) -> None:
    story = ManifestSpec(channel="c", project="p", topic="The last lighthouse", story_direction="A ship comes.")
    data = JobRequested(job_id=uuid7(), user_id=USER, request=JobSpec(kind=Kind.IMAGE, manifest=story))
    await service.hear(event_of(data, subject=data.job_id, tenant_id=TENANT))
    async with endpoint(says(composition())) as stub:
        assert await killed(database_url, stub, at=point) == DIED
        assert not await one_story(service.engine, stub.url)  # the lease of the dead one is not over

        async with service.engine.begin() as conn:
            await conn.execute(text("UPDATE job SET due_at = now()"))
        assert await one_story(service.engine, stub.url)
        assert not await one_story(service.engine, stub.url)

    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert (len(said.items), said.warnings, len(stub.asked)) == (22, [], asked)
