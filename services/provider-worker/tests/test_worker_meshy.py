"""Meshy: what follows a preview, which task is ours, what may be deleted, what a model is made of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.errors import StartError
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.meshy import Meshy, make
from simulator.testing import Customer, RunningSimulator

WISH = GenerationRequest("a1", "acme", MediaKind.MODEL_3D, Op.TEXT_TO_3D, "A prize wheel", 0, 0, "glb")
PICTURE = InputMedia("reference", "image/png", b"a picture")
OF_PICTURE = replace(WISH, op=Op.IMAGE_TO_3D, prompt="", inputs=(PICTURE,))
MODEL = InputMedia("model", "model/gltf-binary", b"a model")
RETEXTURED = replace(WISH, op=Op.RETEXTURE, prompt="rusty", inputs=(MODEL,))
CREDIT = 20_000


def config(simulator: RunningSimulator, model: str = "latest", **options: Any) -> ProviderConfig:
    return ProviderConfig(
        name="meshy",
        model=model,
        base_url=f"{simulator.url}/meshy",
        api_key=SecretStr("sim-meshy"),
        prices=Prices("meshy", (Price("credit", CREDIT),)),
        options=options,
    )


@pytest.fixture
async def made(simulator: RunningSimulator) -> AsyncIterator[Meshy]:
    found = make(config(simulator))
    yield found
    await found.close()


async def sent(made: Meshy, request: GenerationRequest, plan: Mapping[str, Any] | None = None) -> JobRef:
    found = await made.submit(request, plan or made.plan(request))
    assert isinstance(found, JobRef)
    return found


async def refinement(made: Meshy, request: GenerationRequest = WISH) -> Mapping[str, Any]:
    """The plan that a finished preview asks for."""
    plan = (await made.poll(await sent(made, request))).next_phase
    assert plan is not None
    return plan


async def looked_up(made: Meshy, request: GenerationRequest, plan: Mapping[str, Any] | None = None) -> JobRef | None:
    return await made.find(request, plan or made.plan(request), datetime.now(UTC) - timedelta(minutes=1))


def same(found: JobRef | None, sent: JobRef) -> bool:
    """But for the moment from which a list is read."""
    return (
        found is not None
        and {**found.data, "since": 0} == {**sent.data, "since": 0}
        and found.external_id == (sent.external_id)
    )


def slowly(simulator: RunningSimulator) -> None:
    simulator.post("settings", provider="meshy", queued_s=[60, 60], running_s=[60, 60])


def answering(monkeypatch: pytest.MonkeyPatch, body: object) -> None:
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.json", lambda answer: body)


async def test_a_preview_asks_for_its_refinement_and_says_what_it_cost_alone(made: Meshy) -> None:
    ref = await sent(made, WISH)
    status = await made.poll(ref)
    assert (status.state, status.artifacts) == ("succeeded", ())
    assert status.next_phase is not None
    assert (status.next_phase["mode"], status.next_phase["preview_task_id"]) == ("refine", ref.external_id)
    assert status.cost is not None
    assert (status.cost.amount_micros, status.cost.basis) == (20 * CREDIT, "reported")


async def test_a_refined_model_comes_first_and_its_maps_and_its_thumbnail_after_it(made: Meshy) -> None:
    status = await made.poll(await sent(made, WISH, await refinement(made)))
    assert [(found.role, found.meta.get("map")) for found in status.artifacts] == [
        ("primary", None),
        ("texture_map", "base_color"),
        ("texture_map", "metallic"),
        ("texture_map", "normal"),
        ("texture_map", "roughness"),
        ("thumbnail", None),
    ]
    assert status.next_phase is None
    assert status.cost is not None
    assert status.cost.amount_micros == 10 * CREDIT
    for artifact in status.artifacts[1:]:
        assert b"".join([chunk async for chunk in made.fetch(artifact)]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("request_", "number"), [(WISH, 30), (OF_PICTURE, 30), (RETEXTURED, 10)], ids=["text", "image", "retexture"]
)
async def test_a_quote_covers_all_that_will_be_billed(
    made: Meshy, simulator: RunningSimulator, request_: GenerationRequest, number: int
) -> None:
    status = await made.poll(await sent(made, request_))
    if status.next_phase is not None:
        await sent(made, request_, status.next_phase)
    assert made.estimate(request_).amount_micros == number * CREDIT == simulator.bill()["amount_micros"]


async def test_what_was_taken_is_billed_and_not_what_was_quoted(simulator: RunningSimulator) -> None:
    old = make(config(simulator, "meshy-5"))
    status = await old.poll(await sent(old, WISH))
    await old.close()
    assert status.cost is not None
    assert status.cost.amount_micros == 5 * CREDIT


def test_the_numbers_of_credits_are_the_route_files(simulator: RunningSimulator) -> None:
    assert make(config(simulator, credits={"refine": 15})).estimate(WISH).amount_micros == 35 * CREDIT


@pytest.mark.parametrize("wrong", [{"preview": -1}, {"sculpt": 5}, {"preview": "20"}, 20])
def test_wrong_numbers_of_credits_are_said_at_the_start(simulator: RunningSimulator, wrong: object) -> None:
    with pytest.raises(StartError, match=r"options\.credits"):
        make(config(simulator, credits=wrong))


@pytest.mark.parametrize(
    ("asked", "aimed"), [({}, 45_000), ({"max_triangles": 1_000}, 900), ({"max_triangles": 100}, 100)]
)
def test_a_mesh_is_aimed_a_tenth_below_what_is_allowed(made: Meshy, asked: dict[str, Any], aimed: int) -> None:
    for request in (WISH, OF_PICTURE):
        assert made.plan(replace(request, options=asked))["target_polycount"] == aimed


@pytest.mark.parametrize("wrong", [99, 300_001, "many", 1.5])
def test_a_number_of_triangles_that_cannot_be_is_refused(made: Meshy, wrong: object) -> None:
    with pytest.raises(ProviderError, match="max_triangles") as caught:
        made.plan(replace(WISH, options={"max_triangles": wrong}))
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_a_picture_and_a_model_go_along_as_bytes_or_as_addresses(made: Meshy) -> None:
    url = "https://example.com/fox.png"
    assert made.plan(OF_PICTURE)["image_url"].startswith("data:image/png;base64,")
    assert made.plan(replace(OF_PICTURE, inputs=(InputMedia("reference", "image/png", url=url),)))["image_url"] == url
    assert made.plan(RETEXTURED)["model_url"].startswith("data:application/octet-stream;base64,")
    for request in (OF_PICTURE, RETEXTURED):
        assert [found.role for found in (await made.poll(await sent(made, request))).artifacts][:2] == [
            "primary",
            "texture_map",
        ]


def test_words_and_a_picture_may_both_say_how_a_model_shall_look(made: Meshy) -> None:
    style = InputMedia("style", "image/jpeg", b"rust")
    assert made.plan(replace(OF_PICTURE, prompt="gold"))["texture_prompt"] == "gold"
    assert made.plan(RETEXTURED)["text_style_prompt"] == "rusty"
    plan = made.plan(replace(RETEXTURED, prompt="", inputs=(MODEL, style)))
    assert ("image_style_url" in plan, "text_style_prompt" in plan) == (True, False)


@pytest.mark.parametrize(
    "request_",
    [
        replace(OF_PICTURE, inputs=()),
        replace(OF_PICTURE, inputs=(InputMedia("reference", "image/gif", b"a"),)),
        replace(RETEXTURED, inputs=()),
        replace(RETEXTURED, prompt=""),
        replace(WISH, prompt="x" * 601),
        replace(WISH, format="fbx"),
    ],
)
def test_what_a_task_lacks_is_refused_before_it_is_paid(made: Meshy, request_: GenerationRequest) -> None:
    with pytest.raises(ProviderError) as caught:
        made.plan(request_)
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)


async def test_a_lost_preview_is_the_only_one_of_its_words(made: Meshy) -> None:
    mine = await sent(made, WISH)
    await sent(made, replace(WISH, prompt="Another wheel"))
    await sent(made, WISH, await refinement(made, replace(WISH, prompt="A third wheel")))
    assert same(await looked_up(made, WISH), mine)
    assert await looked_up(made, replace(WISH, prompt="No wheel")) is None


async def test_a_lost_refinement_is_no_preview_and_of_no_other_words(made: Meshy) -> None:
    plan = await refinement(made)
    await sent(made, WISH, await refinement(made, replace(WISH, prompt="Another wheel")))
    assert await looked_up(made, WISH, plan) is None
    mine = await sent(made, WISH, plan)
    assert same(await looked_up(made, WISH, plan), mine)


async def test_a_task_that_came_to_nothing_is_not_taken_for_the_one_after_it(made: Meshy) -> None:
    request = replace(WISH, prompt="A prize wheel [[sim:failx1]]")
    assert (await made.poll(await sent(made, request))).state == "failed"
    lost = await sent(made, request)
    assert same(await looked_up(made, request), lost)


@pytest.mark.parametrize("phase", ["preview", "refine"])
async def test_several_that_may_be_ours_are_none_of_them(made: Meshy, phase: str) -> None:
    plan = made.plan(WISH) if phase == "preview" else await refinement(made)
    for _ in range(2):
        await sent(made, WISH, plan)
    with pytest.raises(ProviderError, match="2 tasks that may be this one") as caught:
        await looked_up(made, WISH, plan)
    assert caught.value.code is ErrorCode.PROVIDER_ERROR


@pytest.mark.parametrize("request_", [OF_PICTURE, RETEXTURED], ids=["image", "retexture"])
async def test_of_a_picture_or_a_model_nobody_can_say_whose_task_it_is(
    made: Meshy, request_: GenerationRequest
) -> None:
    assert await looked_up(made, request_) is None
    await sent(made, replace(request_, prompt="other words"))
    assert await looked_up(made, request_) is None
    await sent(made, request_)
    with pytest.raises(ProviderError, match="1 tasks that may be this one"):
        await looked_up(made, request_)


async def test_what_was_made_before_the_call_is_not_looked_at(made: Meshy, simulator: RunningSimulator) -> None:
    await sent(made, WISH)
    assert await made.find(WISH, made.plan(WISH), datetime.now(UTC) + timedelta(seconds=5)) is None


async def test_a_list_that_was_not_read_to_its_end_proves_nothing(made: Meshy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provider_worker.adapters.meshy.PAGES", 1)
    mine = await sent(made, WISH)
    for number in range(50):
        await sent(made, replace(WISH, prompt=f"Wheel {number}"))
    with pytest.raises(ProviderError, match="too many tasks"):
        await looked_up(made, WISH)
    monkeypatch.setattr("provider_worker.adapters.meshy.PAGES", 2)
    assert same(await looked_up(made, WISH), mine)


@pytest.mark.parametrize("lacking", ["prompt", "type"])
async def test_a_task_that_does_not_tell_its_words_may_be_ours(
    made: Meshy, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    task: dict[str, Any] = {"id": "t", "type": "text-to-3d-preview", "prompt": "Another wheel", "created_at": now}
    answering(monkeypatch, [task])
    assert await looked_up(made, WISH) is None
    answering(monkeypatch, [{**task, lacking: None}])
    with pytest.raises(ProviderError, match="1 tasks that may be this one"):
        await looked_up(made, WISH)


async def test_what_is_not_there_after_all_the_time_meshy_keeps_may_have_been(made: Meshy) -> None:
    with pytest.raises(ProviderError, match="3 days") as caught:
        await made.find(WISH, made.plan(WISH), datetime.now(UTC) - timedelta(days=3, minutes=1))
    assert caught.value.code is ErrorCode.PROVIDER_ERROR


async def test_what_is_at_work_is_not_stopped_and_what_is_done_is_not_deleted(
    made: Meshy, simulator: RunningSimulator
) -> None:
    done = await sent(made, WISH)
    simulator.post("settings", provider="meshy", queued_s=[0, 0], running_s=[60, 60])
    running = await sent(made, replace(WISH, prompt="Another wheel"))
    for ref, state in ((done, "succeeded"), (running, "running")):
        assert not await made.cancel(ref)
        assert (await made.poll(ref)).state == state
    assert not [call for call in simulator.calls() if call["method"] == "DELETE"]


async def test_what_was_deleted_before_it_began_is_cancelled_and_was_not_paid(
    made: Meshy, simulator: RunningSimulator
) -> None:
    slowly(simulator)
    ref = await sent(made, WISH)
    assert await made.cancel(ref)
    assert await made.poll(ref) == Status("cancelled", ref.external_id, raw_state="deleted")
    assert simulator.bill()["amount_micros"] == 0


async def test_a_task_that_is_not_there_but_in_the_list_is_no_end(made: Meshy) -> None:
    request = replace(WISH, prompt="A prize wheel [[sim:statusx1:gone]]")
    ref = await sent(made, request)
    with pytest.raises(ProviderError) as caught:
        await made.poll(ref)
    assert (caught.value.http_status, caught.value.scope) == (404, "request")
    assert (await made.poll(ref)).state == "succeeded"


async def test_a_task_that_is_gone_for_its_age_was_not_cancelled(made: Meshy) -> None:
    old = (datetime.now(UTC) - timedelta(days=4)).isoformat()
    ref = JobRef("meshy", "none", {"path": "/openapi/v2/text-to-3d", "mode": "preview", "since": old})
    with pytest.raises(ProviderError) as caught:
        await made.poll(ref)
    assert caught.value.http_status == 404


async def test_a_preview_that_is_gone_says_nothing_of_the_model(made: Meshy) -> None:
    plan = {**await refinement(made), "preview_task_id": "none"}
    with pytest.raises(ProviderError) as caught:
        await made.submit(WISH, plan)
    assert (caught.value.code, caught.value.scope) == (ErrorCode.INVALID_REQUEST, "request")


async def test_a_full_queue_is_not_a_rate(made: Meshy, simulator: RunningSimulator) -> None:
    slowly(simulator)
    account = {"key": "sim-meshy", "name": "small", "max_unfinished": 1, "rate": {"requests": 2, "per_s": 60}}
    simulator.post("accounts", provider="meshy", accounts=[account])
    await sent(made, WISH)
    errors = []
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await sent(made, WISH)
        errors.append(caught.value)
        simulator.post("accounts", provider="meshy", accounts=[{**account, "rate": {"requests": 1, "per_s": 60}}])
    assert [(error.code, error.scope) for error in errors] == [
        (ErrorCode.RATE_LIMIT, "queue"),
        (ErrorCode.RATE_LIMIT, "account"),
    ]
    assert errors[0].retry_after is None
    assert errors[1].retry_after is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "server_error", "message": "Please retry."}, ErrorCode.PROVIDER_ERROR),
        ({"type": "timeout", "message": "Too slow."}, ErrorCode.TEMPORARY),
        ({"type": "service_unavailable", "message": "Later."}, ErrorCode.TEMPORARY),
        ({"type": "invalid_input", "code": "image_too_complex", "message": "No."}, ErrorCode.INVALID_REQUEST),
        ({"type": "invalid_input", "code": "moderation_blocked", "message": "No."}, ErrorCode.CONTENT_POLICY),
        ({"type": "invalid_input", "message": "It does not pass safety filters."}, ErrorCode.CONTENT_POLICY),
        (None, ErrorCode.PROVIDER_ERROR),
    ],
)
async def test_why_a_task_failed_decides_what_may_follow(
    made: Meshy, monkeypatch: pytest.MonkeyPatch, error: object, code: ErrorCode
) -> None:
    ref = await sent(made, WISH)
    answering(monkeypatch, {"status": "FAILED", "task_error": error, "consumed_credits": 0})
    status = await made.poll(ref)
    assert status.error is not None
    assert (status.state, status.error.code, status.cost) == ("failed", code, None)


async def test_a_success_without_a_model_was_paid_and_is_none(made: Meshy, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = await sent(made, WISH, await refinement(made))
    answering(monkeypatch, {"status": "SUCCEEDED", "model_urls": {}})
    status = await made.poll(ref)
    assert (status.state, status.error and status.error.code) == ("failed", ErrorCode.PROVIDER_ERROR)
    assert status.cost is not None
    assert (status.cost.amount_micros, status.cost.basis) == (10 * CREDIT, "priced_from_usage")


async def test_a_callback_brings_back_a_task_that_can_be_polled(
    made: Meshy, simulator: RunningSimulator, customer: Customer
) -> None:
    account = {"key": "sim-meshy", "name": "default", "webhook_url": customer.url("all")}
    simulator.post("accounts", provider="meshy", accounts=[account])
    for request, plan in ((WISH, None), (WISH, await refinement(made)), (OF_PICTURE, None)):
        ref = await sent(made, request, plan)
        events: list[WebhookEvent] = []
        while not events or events[-1].ref is None or events[-1].ref.external_id != ref.external_id:
            headers, body = customer.got.get(timeout=10)
            events.append(await made.parse_webhook(headers, body, datetime.now(UTC)))
        event = events[-1]
        assert event.ref is not None
        assert (event.verified, event.ref.data["mode"]) == (False, ref.data["mode"])
        assert (await made.poll(event.ref)).next_phase == (await made.poll(ref)).next_phase


@pytest.mark.parametrize("body", [{"id": "t", "type": "rigging", "created_at": 1}, {"type": "image-to-3d"}, {}])
async def test_a_callback_about_no_task_of_ours_names_none(made: Meshy, body: dict[str, Any]) -> None:
    event = await made.parse_webhook({}, json.dumps(body).encode(), datetime.now(UTC))
    assert (event.ref, len(event.delivery_id)) == (None, 64)
