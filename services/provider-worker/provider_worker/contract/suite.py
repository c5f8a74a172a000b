"""One suite for every adapter, against the simulator: whatever a provider does, its adapter says what that means.

Whoever runs it gives the fixtures `case` and `simulator`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
)
from provider_worker.contract.between import between, odd_callbacks, oddities
from provider_worker.contract.case import Case, Place, StandIn
from provider_worker.contract.looks import looks_right
from provider_worker.contract.sound import Ask, essence, fault_of, told

WAIT_S = 20.0


@asynccontextmanager
async def adapter(case: Case, simulator: Place, key: str | None = None) -> AsyncIterator[ProviderAdapter]:
    made = case.make(case.config(simulator, key))
    try:
        yield made
    finally:
        await made.close()


def wish(case: Case, *tags: str, **changes: Any) -> GenerationRequest:
    prompt = " ".join(["a red fox on a skateboard", *(f"[[sim:{tag}]]" for tag in tags)])
    given = {"request_id": str(uuid.uuid4()), "tenant_id": "acme", "prompt": prompt, "width": 0, "height": 0}
    return GenerationRequest(**{**given, **case.asked, **changes})


async def sent(made: ProviderAdapter, request: GenerationRequest) -> JobRef | Status:
    return await made.submit(request, made.plan(request))


async def ended(made: ProviderAdapter, found: JobRef | Status) -> Status:
    """The final status of one phase."""
    async with asyncio.timeout(WAIT_S):
        while isinstance(found, JobRef):
            status = await made.poll(found)
            if status.state not in {"queued", "running"}:
                return status
            await asyncio.sleep(0.02)
    return found


async def phases_of(made: ProviderAdapter, request: GenerationRequest, found: JobRef | Status) -> list[Status]:
    """The final status of each phase: what a phase gives is submitted as the next one until there is a result."""
    statuses = [await ended_after_all(made, found)]
    while (plan := statuses[-1].next_phase) is not None:
        statuses.append(await ended_after_all(made, await sent_or_found(made, request, plan)))
    return statuses


async def sent_or_found(made: ProviderAdapter, request: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
    """As the engine sends: what may have been taken is looked up."""
    try:
        return await made.submit(request, plan)
    except ProviderError as error:
        found = await made.find(request, plan, a_minute_ago()) if error.outcome is Outcome.UNKNOWN else None
        if found is None:
            raise
        return found


async def found_again(made: ProviderAdapter, request: GenerationRequest) -> JobRef | None:
    """None also where it cannot be told whether a job is ours."""
    try:
        return await made.find(request, made.plan(request), a_minute_ago())
    except ProviderError:
        return None


def a_minute_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


async def ended_after_all(made: ProviderAdapter, ref: JobRef | Status) -> Status:
    """As the engine polls: an error that may pass is no end."""
    while True:
        try:
            return await ended(made, ref)
        except ProviderError as error:
            if not error.retryable:
                raise


async def made_of(made: ProviderAdapter, request: GenerationRequest) -> Status:
    return (await phases_of(made, request, await sent(made, request)))[-1]


async def refused(made: ProviderAdapter, request: GenerationRequest) -> ProviderError:
    """What was raised, or what the job ended with."""
    try:
        status = await made_of(made, request)
    except ProviderError as error:
        return error
    assert status.state == "failed"
    assert status.error is not None
    return status.error


async def bytes_of(made: ProviderAdapter, status: Status) -> bytes:
    return b"".join([chunk async for chunk in made.fetch(status.artifacts[0])])


async def test_real_media_come_as_they_were_planned_and_cost_no_more_than_was_quoted(
    case: Case, simulator: StandIn
) -> None:
    async with adapter(case, simulator) as made:
        request = wish(case)
        phases = await phases_of(made, request, await sent(made, request))
        data = await bytes_of(made, phases[-1])
        quoted = made.estimate(request)
    assert [status.state for status in phases] == ["succeeded"] * len(phases)
    assert looks_right(request, data)
    costs = [status.cost.amount_micros for status in phases if status.cost is not None]
    assert len(costs) == len(phases)
    assert min(costs) > 0
    assert sum(costs) <= quoted.amount_micros
    assert len(simulator.bill()["lines"]) == len(phases)


REFUSALS = [
    ("429:retry_after=3", ErrorCode.RATE_LIMIT),
    ("quota", ErrorCode.QUOTA_EXCEEDED),
    ("auth", ErrorCode.AUTH_ERROR),
    ("policy:input", ErrorCode.CONTENT_POLICY),
    ("http500", ErrorCode.TEMPORARY),
    ("http503", ErrorCode.TEMPORARY),
]


@pytest.mark.parametrize(("fault", "code"), REFUSALS, ids=[fault for fault, _ in REFUSALS])
async def test_a_refusal_is_told_by_its_code_and_has_cost_nothing(
    case: Case, simulator: StandIn, fault: str, code: ErrorCode
) -> None:
    async with adapter(case, simulator) as made:
        error = await refused(made, wish(case, fault))
    assert error.code is code
    assert error.outcome is not Outcome.UNKNOWN
    assert simulator.bill()["amount_micros"] == 0


async def test_the_delay_a_provider_asks_for_is_read(case: Case, simulator: StandIn) -> None:
    async with adapter(case, simulator) as made:
        error = await refused(made, wish(case, "429:retry_after=3"))
        in_body = await refused(made, wish(case, "429:body_retryinfo=37s"))
    assert error.retry_after == pytest.approx(3, abs=1)
    assert in_body.code is ErrorCode.RATE_LIMIT
    assert in_body.retry_after is None or in_body.retry_after == pytest.approx(37, abs=1)


@pytest.mark.parametrize("fault", ["drop_after_accept", "http504:paid", "drop", "http502:foreign"])
async def test_an_answer_that_was_lost_leaves_the_outcome_open(case: Case, simulator: StandIn, fault: str) -> None:
    """Whether it was paid or not: nobody can tell from here, so nothing may be sent again for it."""
    request = wish(case, fault)
    async with adapter(case, simulator) as made:
        with pytest.raises(ProviderError) as caught:
            await sent(made, request)
        found = await found_again(made, request)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not caught.value.retryable
    paid = bool(simulator.bill()["lines"])
    assert paid is (fault in {"drop_after_accept", "http504:paid"})
    assert (found is not None) is (paid and case.finds)


async def test_a_job_that_was_found_again_is_the_one_that_was_paid(case: Case, simulator: StandIn) -> None:
    if not case.finds:
        assert all(
            found.idempotency in {"none", "list_lookup"} for found in case.make(case.config(simulator)).capabilities()
        )
        return
    request = wish(case, "drop_after_accept")
    async with adapter(case, simulator) as made:
        with pytest.raises(ProviderError):
            await sent(made, request)
        found = await made.find(request, made.plan(request), a_minute_ago())
        assert found is not None
        phases = await phases_of(made, request, found)
    paid = [line["external_id"] for line in simulator.bill()["lines"]]
    assert [(status.state, status.external_id) for status in phases] == [("succeeded", name) for name in paid]


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("fail", {ErrorCode.PROVIDER_ERROR, ErrorCode.TEMPORARY}),
        ("policy:output", {ErrorCode.CONTENT_POLICY}),
        ("corrupt:empty", {ErrorCode.PROVIDER_ERROR, ErrorCode.CORRUPT_OUTPUT, ErrorCode.TEMPORARY}),
    ],
)
async def test_work_that_came_to_nothing_is_never_a_success(
    case: Case, simulator: StandIn, fault: str, codes: set[ErrorCode]
) -> None:
    async with adapter(case, simulator) as made:
        try:
            status = await made_of(made, wish(case, fault))
            empty = status.state == "succeeded" and not await bytes_of(made, status)
            error = status.error
        except ProviderError as raised:
            empty, error = False, raised
    assert empty or (error is not None and error.code in codes)


async def test_a_wrong_key_is_said_without_the_key(case: Case, simulator: StandIn) -> None:
    async with adapter(case, simulator, key="very-secret-key") as made:
        error = await refused(made, wish(case))
    assert error.code is ErrorCode.AUTH_ERROR
    assert "very-secret-key" not in f"{error} {error!r}"


async def test_a_state_nobody_knows_is_kept_and_is_no_end(case: Case, simulator: StandIn) -> None:
    if case.sync:
        assert all(found.mode == "sync" for found in case.make(case.config(simulator)).capabilities())
        return
    simulator.post("settings", queued_s=[5, 5], running_s=[5, 5])
    async with adapter(case, simulator) as made:
        found = await sent(made, wish(case, "status:unknown"))
        assert isinstance(found, JobRef)
        with pytest.raises(ProviderError) as caught:
            await made.poll(found)
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    assert caught.value.provider_code


@pytest.mark.parametrize("endpoint", ["status", "result"])
async def test_a_question_that_fails_is_no_end_of_a_job_that_was_paid(
    case: Case, simulator: StandIn, endpoint: str
) -> None:
    if case.sync:
        return
    async with adapter(case, simulator) as made:
        request = wish(case, f"http503x1@{endpoint}")
        found = await sent(made, request)
        if not isinstance(found, JobRef):
            return
        phases = await phases_of(made, request, found)
    assert phases[-1].state == "succeeded"
    assert len(simulator.bill()["lines"]) == len(phases)


async def test_a_link_that_has_expired_is_asked_for_anew(case: Case, simulator: StandIn) -> None:
    if not case.shows_links:
        assert all(found.result_ttl_s is None for found in case.make(case.config(simulator)).capabilities())
        return
    async with adapter(case, simulator) as made:
        status = await made_of(made, wish(case, "expired_url"))
        with pytest.raises(ProviderError) as caught:
            await bytes_of(made, status)
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.TEMPORARY, Outcome.ACCEPTED)


@pytest.mark.parametrize("fault", ["file:redirect_metadata", "file:huge", "file:endless", "file:gzip_bomb"])
async def test_a_link_is_followed_only_where_it_may_lead_and_only_as_far_as_it_may(
    case: Case, simulator: StandIn, fault: str
) -> None:
    if not case.shows_links:
        return
    async with adapter(case, simulator) as made:
        status = await made_of(made, wish(case, fault))
        with pytest.raises(ProviderError) as caught:
            await bytes_of(made, status)
    assert caught.value.code is ErrorCode.CORRUPT_OUTPUT


@pytest.mark.parametrize("changes", [{"prompt": " "}, {"prompt": "x" * 40_000}, {"op": Op.INPAINT}, "another kind"])
def test_what_a_provider_cannot_make_is_refused_before_anything_is_sent(
    case: Case, simulator: StandIn, changes: dict[str, Any] | str
) -> None:
    if isinstance(changes, str):
        is_model = case.asked["kind"] is MediaKind.MODEL_3D
        changes = {"kind": MediaKind.IMAGE if is_model else MediaKind.MODEL_3D}
    elif changes.get("op") is case.asked["op"]:
        changes = {"op": Op.RETEXTURE}
    elif "prompt" in changes and case.asked["op"] is Op.IMAGE_TO_3D:
        changes = {"inputs": ()}  # a picture says enough without words
    made = case.make(case.config(simulator))
    with pytest.raises(ProviderError) as caught:
        made.plan(wish(case, **changes))
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)
    assert not simulator.calls()


def test_a_plan_is_the_same_each_time(case: Case, simulator: StandIn) -> None:
    made, request = case.make(case.config(simulator)), wish(case)
    assert made.plan(request) == made.plan(request)


async def test_a_job_that_has_not_begun_is_stopped_where_that_can_be_done(case: Case, simulator: StandIn) -> None:
    simulator.post("settings", queued_s=[0 if case.sync else 60] * 2)
    async with adapter(case, simulator) as made:
        stoppable = {found.cancel for found in made.capabilities()} != {"none"}
        found = await sent(made, wish(case))
        ref = found if isinstance(found, JobRef) else JobRef(made.name, found.external_id)
        assert await made.cancel(ref) is stoppable
        if stoppable:
            assert (await ended(made, ref)).state in {"cancelled", "failed"}
    assert (simulator.bill()["amount_micros"] == 0) is stoppable


async def test_a_job_that_has_ended_is_not_said_to_be_stopped(case: Case, simulator: StandIn) -> None:
    async with adapter(case, simulator) as made:
        found = await sent(made, wish(case))
        ref = found if isinstance(found, JobRef) else JobRef(made.name, found.external_id)
        assert (await ended(made, found)).state == "succeeded"
        assert not await made.cancel(ref)


AT_WORK: Mapping[str, Mapping[str, list[float]]] = {
    "poll at work": {"queued_s": [0, 0], "running_s": [60, 60]},
    "cancel": {"queued_s": [60, 60]},
}
PAID = {"submit", "poll"}
"""Questions whose answer has what was paid for."""
QUESTIONS = ["submit", "refusal", "poll", "poll at work", "find", "cancel"]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_of_whatever_stands_in_an_answer_something_is_made_or_an_error_is_told(
    case: Case, simulator: StandIn, question: str
) -> None:
    """And what stands beside a result, such as its cost, never takes it away."""
    if not case.sync:
        simulator.post("settings", **AT_WORK.get(question, {}))
    wrong = []
    with between(simulator.url) as wire:
        async with adapter(case, wire) as made:
            request = wish(case, *(["policy:input"] if question == "refusal" else []))
            ask = await asked(made, request, question)
            if ask is None:
                return
            wire.heard.clear()
            good = await told(ask)
            for odd in oddities(wire.heard.copy()):
                wire.answer(odd.replies)
                found = await told(ask)
                lost = question in PAID and odd.is_beside_the_point and essence(found) != essence(good)
                if fault := fault_of(found) or (f"{found} in place of {good}" if lost else None):
                    wrong.append(f"{'.'.join(map(str, odd.place)) or 'the body'} is {odd.raw[:20]}: {fault}")
    assert not wrong, "\n".join([f"{len(wrong)} answers are not understood", *wrong[:5]])


async def asked(made: ProviderAdapter, request: GenerationRequest, question: str) -> Ask | None:
    """How this is asked again and again; None where there is no such question."""
    plan = made.plan(request)
    if question in {"submit", "refusal"}:
        return lambda: made.submit(request, plan)
    if question == "find":
        await sent(made, request)
        return lambda: made.find(request, plan, a_minute_ago())
    found = await sent(made, request)
    if not isinstance(found, JobRef):
        return None
    if question == "poll":
        await ended(made, found)
    return (lambda: made.cancel(found)) if question == "cancel" else (lambda: made.poll(found))


async def test_a_callback_of_any_form_is_a_hint_or_is_refused(case: Case, simulator: StandIn) -> None:
    async with adapter(case, simulator) as made:
        for body in odd_callbacks():
            found = await told(partial(made.parse_webhook, {}, body, datetime.now(UTC)))
            assert fault_of(found) is None, body[:80]
