"""Stories that wait for a language model, over the real PostgreSQL: each is composed once, by whomever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of
from prompt_service.composing.by_rules import compose
from prompt_service.composing.composition import Composition
from prompt_service.composing.language_model import Endpoint, LanguageModel, NoModel
from prompt_service.composing.turns import BY_RULES, MOST_CLAIMS, Claimed, Pace, Turns
from prompt_service.store.looks import BRAND_KITS
from prompt_service.store.stories import PostgresStories
from schemas.cloudevents import CloudEvent
from schemas.events import JobCancelRequested, JobRequested, PromptsPrepared, PromptsRejected
from schemas.parts import JobSpec, Kind, ManifestSpec, VersionRef
from tests.prompt_endpoint import (
    KEY,
    Answer,
    Stub,
    breaks_off,
    completes,
    composition,
    drips,
    endpoint,
    floods,
    hangs,
    says,
)
from tests.prompt_harness import KIT, TEMPLATES, TENANT, USER, Service, service_on

pytestmark = pytest.mark.integration

GOOD = says(composition())
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STORY: dict[str, Any] = {"topic": "The last lighthouse", "story_direction": "A keeper lights the lamp. A ship comes."}
BROKEN_JSON = says('{"atmosphere": ')


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as service:
        service.prompts = replace(service.prompts, has_composer=True)
        yield service


def asked_for(kit: VersionRef | None = None, tenant: UUID = TENANT, **more: Any) -> CloudEvent[JobRequested]:
    spec = {name: more.pop(name) for name in ("template",) if name in more}
    manifest = ManifestSpec(**{"channel": "c", "project": "p", **STORY, **more})
    request = JobSpec(kind=Kind.IMAGE, manifest=manifest, **spec)
    data = JobRequested(job_id=uuid7(), user_id=USER, request=request, brand_kit=kit)
    return event_of(data, subject=data.job_id, tenant_id=tenant, traceparent=TRACE)


def stories_of(service: Service, patience: float = 60) -> PostgresStories:
    return PostgresStories(service.engine, Outbox("/services/prompt-service"), TEMPLATES, patience=patience)


async def step(service: Service, stub: Stub, *, answer_s: float = 5, lease_s: float = 15, patience: float = 60) -> bool:
    model = LanguageModel(Endpoint(stub.url, "m", KEY))
    try:
        return await Turns(stories_of(service, patience), model, Pace(answer_s, lease_s)).step()
    finally:
        await model.stop()


async def is_due(service: Service) -> None:
    """Leases and pauses are over."""
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE job SET due_at = now()"))


async def state_of(service: Service) -> list[str]:
    async with service.engine.connect() as conn:
        return list((await conn.execute(text("SELECT state FROM job ORDER BY id"))).scalars())


async def prepared(service: Service) -> PromptsPrepared:
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    return said


async def assert_by_rules(service: Service) -> None:
    said = await prepared(service)
    assert said.warnings == [BY_RULES]
    expected = compose(STORY["topic"], STORY["story_direction"], None)
    assert [item.name for item in said.items] == [one.name.replace(" ", "_") for one in expected.items]


async def test_a_story_waits_for_the_model_outside_the_handler_and_its_items_are_the_models(service: Service) -> None:
    await service.hear(asked_for())
    assert await service.said() == []
    assert await state_of(service) == ["composing"]
    async with endpoint(GOOD) as stub:
        assert await step(service, stub)
        assert not await step(service, stub)
    said = await prepared(service)
    assert len(said.items) == 22
    assert said.items[0].prompt.startswith("«Blue dusk\n\na picture of characters 0»")
    assert said.items[0].logical_name == "channels/c/projects/p/assets/characters/characters_0.png"
    assert said.warnings == []
    assert await state_of(service) == ["prepared"]
    async with service.engine.connect() as conn:
        assert TRACE in str(await conn.scalar(text("SELECT headers FROM outbox")))


async def test_a_wrong_answer_is_asked_for_once_more_with_what_was_wrong(service: Service) -> None:
    await service.hear(asked_for())
    async with endpoint(says(composition(characters=8)), GOOD) as stub:
        await step(service, stub)
    assert (await prepared(service)).warnings == []
    first, second = stub.asked
    assert second["messages"][:2] == first["messages"]
    assert "there are 23 items, there must be exactly 22" in second["messages"][-1]["content"]


@pytest.mark.parametrize("wrong", [says(composition(props=3)), BROKEN_JSON, says({}), says("I will not")])
async def test_two_wrong_answers_are_enough(service: Service, wrong: Answer) -> None:
    await service.hear(asked_for())
    async with endpoint(wrong) as stub:
        await step(service, stub)
    assert len(stub.asked) == 2
    await assert_by_rules(service)


@pytest.mark.parametrize(
    "refusal",
    [completes({}, "429 Too Many Requests"), completes({}, "500 Internal Server Error"), breaks_off],
    ids=["429", "500", "broken off"],
)
async def test_a_model_that_cannot_answer_now_is_asked_again_after_a_pause(service: Service, refusal: Answer) -> None:
    await service.hear(asked_for())
    async with endpoint(refusal, GOOD) as stub:
        assert await step(service, stub)
        assert not await step(service, stub)
        assert await service.said() == []
        await is_due(service)
        assert await step(service, stub)
    assert (await prepared(service)).warnings == []


async def test_a_model_that_never_can_is_given_up(service: Service) -> None:
    await service.hear(asked_for())
    async with endpoint(completes({}, "503 Service Unavailable")) as stub:
        for _ in range(MOST_CLAIMS):
            assert await step(service, stub)
            await is_due(service)
    assert len(stub.asked) == MOST_CLAIMS
    await assert_by_rules(service)


async def test_a_pause_that_is_longer_than_there_is_time_is_not_waited_for(service: Service) -> None:
    await service.hear(asked_for())
    async with endpoint(completes({}, "429 Too Many Requests", "Retry-After: 3600")) as stub:
        await step(service, stub)
    await assert_by_rules(service)


@pytest.mark.parametrize("answer", [hangs, drips, floods, completes({}, "401 Unauthorized"), completes(b"?")])
async def test_whatever_it_does_the_manifest_is_made(service: Service, answer: Answer) -> None:
    await service.hear(asked_for())
    async with endpoint(answer) as stub, asyncio.timeout(10):
        await step(service, stub, answer_s=0.3)
    assert len(stub.asked) == 1
    await assert_by_rules(service)


async def test_a_story_that_waited_too_long_is_made_by_rules_and_nobody_is_asked(service: Service) -> None:
    await service.hear(asked_for())
    async with endpoint(GOOD) as stub:
        await step(service, stub, patience=0)
    assert stub.asked == []
    await assert_by_rules(service)


async def test_the_second_question_has_no_more_time_than_is_left(service: Service) -> None:
    await service.hear(asked_for())
    async with endpoint(BROKEN_JSON, hangs) as stub, asyncio.timeout(10):
        await step(service, stub, answer_s=60, patience=1)
    assert len(stub.asked) == 2
    await assert_by_rules(service)


async def test_where_no_model_is_any_more_what_waited_for_one_is_made_by_rules(service: Service) -> None:
    await service.hear(asked_for())
    assert await Turns(stories_of(service), NoModel(), Pace(1)).step()
    await assert_by_rules(service)


@pytest.mark.parametrize(("reason", "code"), [("user", "CANCELLED"), ("deadline", "TIMEOUT")])
async def test_a_cancel_meanwhile_wins_and_ends_the_question(service: Service, reason: Any, code: str) -> None:
    event = asked_for()
    await service.hear(event)
    async with endpoint(hangs) as stub, asyncio.timeout(10):
        stepping = asyncio.create_task(step(service, stub, lease_s=0.3, answer_s=60))
        await stub.is_asked.wait()
        cancel = JobCancelRequested(job_id=event.data.job_id, reason=reason)
        await service.hear(event_of(cancel, subject=event.subject, tenant_id=TENANT))
        assert await stepping
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.code == code
    assert not await step(service, stub)


async def test_an_answer_that_comes_after_the_cancel_changes_nothing(service: Service) -> None:
    event = asked_for()
    await service.hear(event)
    claimed = await claim(service)
    cancel = JobCancelRequested(job_id=event.data.job_id, reason="user")
    await service.hear(event_of(cancel, subject=event.subject, tenant_id=TENANT))
    assert not await stories_of(service).finish(claimed, MADE)
    assert not await stories_of(service).renew(claimed, 15)
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)


MADE = compose("t", "d", None)


async def claim(service: Service, lease_s: float = 15) -> Claimed:
    claimed = await stories_of(service).claim(lease_s)
    assert claimed is not None
    return claimed


async def test_what_a_dead_process_had_claimed_is_taken_over_after_its_lease_and_its_late_word_is_refused(
    service: Service,
) -> None:
    await service.hear(asked_for())
    dead = await claim(service)
    async with endpoint(GOOD) as stub:
        assert not await step(service, stub)
        await is_due(service)
        living = await claim(service)
        assert living.epoch == dead.epoch + 1
        assert not await stories_of(service).finish(dead, MADE)
        assert not await stories_of(service).renew(dead, 15)
        assert await service.said() == []
        await is_due(service)
        assert await step(service, stub)
    assert not await stories_of(service).finish(living, MADE)
    assert (await prepared(service)).items[0].name == "characters_0"


async def test_a_lease_is_renewed_while_the_model_thinks(service: Service) -> None:
    await service.hear(asked_for())
    go_on = asyncio.Event()

    async def when_told(writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await GOOD(writer)

    async with endpoint(when_told) as stub, asyncio.timeout(20):
        stepping = asyncio.create_task(step(service, stub, lease_s=0.6))
        await stub.is_asked.wait()
        first = await due_at(service)
        while await due_at(service) < first + 1:
            assert await stories_of(service).claim(15) is None
        go_on.set()
        assert await stepping
    assert (await prepared(service)).warnings == []
    assert len(stub.asked) == 1


async def due_at(service: Service) -> float:
    async with service.engine.connect() as conn:
        return float(await conn.scalar(text("SELECT extract(epoch FROM due_at) FROM job")))


async def test_what_ends_the_process_each_time_is_made_by_rules_in_the_end(service: Service) -> None:
    await service.hear(asked_for())
    for _ in range(MOST_CLAIMS):
        await claim(service)
        await is_due(service)
    async with endpoint(GOOD) as stub:
        await step(service, stub)
    assert stub.asked == []
    await assert_by_rules(service)


async def test_a_tenant_with_many_stories_waits_behind_one_with_few(service: Service) -> None:
    few = uuid7()
    await service.hear(*[asked_for() for _ in range(3)])
    await service.hear(other := asked_for(tenant=few))
    claims = [await claim(service) for _ in range(4)]
    assert [claimed.job_id == other.data.job_id for claimed in claims] == [False, True, False, False]
    assert len({claimed.job_id for claimed in claims}) == 4


async def test_a_story_is_composed_once_however_often_it_is_asked_for(service: Service) -> None:
    event = asked_for()
    await service.hear(event, event)
    again = event_of(event.data, subject=event.subject, tenant_id=TENANT)
    await service.hear(again)
    async with endpoint(GOOD) as stub:
        assert await step(service, stub)
        await service.hear(again)
        assert not await step(service, stub)
    assert len(stub.asked) == len(await service.said()) == 1


async def test_a_story_whose_kit_is_not_here_yet_waits_for_it_first(service: Service) -> None:
    kit_id = uuid7()
    await service.hear(asked_for(VersionRef(id=kit_id, version=1)))
    async with endpoint(GOOD) as stub:
        assert not await step(service, stub)
        async with service.engine.begin() as conn:
            await BRAND_KITS.add(conn, TENANT, kit_id, KIT)
            await conn.execute(text("UPDATE job SET composing_since = now() - interval '1 hour'"))
        await service.prompts.try_waiting()
        assert await state_of(service) == ["composing"]
        assert await step(service, stub)
    said = await prepared(service)
    assert said.warnings == []
    assert all("#7C3AED" in item.prompt for item in said.items)


async def test_a_job_that_would_be_rejected_whatever_comes_is_rejected_at_once(service: Service) -> None:
    await service.hear(asked_for(template="poster"))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)


@pytest.mark.parametrize(
    "manifest",
    [{"topic": ""}, {"story_direction": "\u200b"}, {"items": [{"name": "a", "prompt": "b"}]}],
    ids=["no topic", "no direction", "given items"],
)
async def test_nobody_is_asked_where_no_story_is_to_be_composed(service: Service, manifest: dict[str, Any]) -> None:
    await service.hear(asked_for(**manifest))
    assert isinstance((await service.said())[0], PromptsPrepared)


async def test_without_a_model_a_story_is_composed_in_the_handler(service: Service) -> None:
    service.prompts = replace(service.prompts, has_composer=False)
    await service.hear(asked_for())
    assert len((await prepared(service)).items) == 22


async def test_what_is_too_large_to_be_said_is_rejected_in_place_of_being_tried_for_ever(service: Service) -> None:
    await service.hear(asked_for())
    claimed = await claim(service)
    warnings = tuple(f"{number:04}" * 250 for number in range(1100))
    assert await stories_of(service).finish(claimed, Composition(MADE.atmosphere, MADE.items, warnings))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.message == "the job could not be turned into prompts"


async def test_no_log_has_the_story_the_answer_or_the_key(service: Service) -> None:
    with capture_logs() as logs:
        await service.hear(asked_for())
        async with endpoint(says(composition(props=3)), completes({}, "500 x"), completes({}, "401 x")) as stub:
            await step(service, stub)
            await is_due(service)
            await step(service, stub)
    said = json.dumps(logs, default=str)
    assert {entry["event"] for entry in logs} >= {"composition_wrong", "composing_postponed", "composed_by_rules"}
    for secret in (KEY, "lighthouse", "keeper", "Blue dusk", "a picture of"):
        assert secret not in said
