"""What an answer of Google's means, however odd it is."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from provider_worker.adapters.interface import (
    ErrorCode,
    JobRef,
    ProviderAdapter,
    ProviderError,
)
from simulator.testing import RunningSimulator
from tests.google_builders import LYRIA, OMNI, SONG, VEO, VIDEO, adapter, sent


@pytest.fixture(params=[OMNI, VEO])
async def made(request: pytest.FixtureRequest, simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = adapter(simulator.url, request.param)
    yield found
    await found.close()


def answering(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.json", lambda answer: body)
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.ok", True)


OPERATION = "models/veo/operations/x"


def done(**answer: Any) -> dict[str, Any]:
    return {"name": OPERATION, "done": True, "response": {"generateVideoResponse": answer}}


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        (VEO, done(raiMediaFilteredCount=1), ErrorCode.CONTENT_POLICY),
        (VEO, done(), ErrorCode.CONTENT_POLICY),
        (VEO, {"done": True}, ErrorCode.CONTENT_POLICY),
        (VEO, done(generatedSamples=[{"video": {}}]), ErrorCode.PROVIDER_ERROR),
        (VEO, done(generatedSamples=[{"video": {"encodedVideo": "no base64!"}}]), ErrorCode.CORRUPT_OUTPUT),
        (
            VEO,
            {"done": True, "error": {"code": 3, "message": "against our policies"}},
            ErrorCode.CONTENT_POLICY,
        ),
        (VEO, {"done": True, "error": {"code": 13, "message": "Internal"}}, ErrorCode.PROVIDER_ERROR),
        (OMNI, {"status": "completed"}, ErrorCode.CONTENT_POLICY),
        (OMNI, {"status": "completed", "steps": [{"type": "thought"}]}, ErrorCode.CONTENT_POLICY),
        (OMNI, {"status": "completed", "steps": "odd"}, ErrorCode.CONTENT_POLICY),
        (
            OMNI,
            {"status": "completed", "steps": [{"type": "model_output", "content": [{"type": "video"}]}]},
            ErrorCode.PROVIDER_ERROR,
        ),
        (OMNI, {"status": "failed"}, ErrorCode.PROVIDER_ERROR),
        (OMNI, {"status": "failed", "errors": [{"code": "x", "message": "safety"}]}, ErrorCode.CONTENT_POLICY),
        (OMNI, {"status": "incomplete"}, ErrorCode.PROVIDER_ERROR),
        (OMNI, {"status": "requires_action"}, ErrorCode.PROVIDER_ERROR),
    ],
)
async def test_an_end_without_a_video_is_no_success(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, model: str, body: Any, code: ErrorCode
) -> None:
    made = adapter(simulator.url, model)
    answering(monkeypatch, body)
    status = await made.poll(JobRef("google", OPERATION))
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.code is code
    await made.close()


ODD = [None, 7, "odd", [], [7], {}, {"done": True, "status": "completed"}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("model", [OMNI, VEO, LYRIA])
async def test_an_answer_of_any_form_is_an_end_or_an_error_and_never_a_success(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, model: str, odd: Any
) -> None:
    made = adapter(simulator.url, model)
    inner = {"done": True, "status": "completed", "steps": odd, "outputs": odd, "error": odd, "response": odd}
    deeper = {
        "done": True,
        "status": "failed",
        "errors": odd,
        "steps": [{"type": "model_output", "content": odd}],
        "response": {"generateVideoResponse": {"generatedSamples": odd, "raiMediaFilteredReasons": odd}},
    }
    for body in (odd, inner, deeper):
        answering(monkeypatch, body)
        assert await polled(made) in {"failed", "running", ErrorCode.PROVIDER_ERROR}
    await made.close()


async def polled(made: ProviderAdapter) -> str:
    """The state, or the code of what was raised."""
    try:
        return (await made.poll(JobRef("google", OPERATION))).state
    except ProviderError as error:
        return error.code


async def test_a_video_may_come_inline(simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    data = base64.b64encode(b"video").decode()
    content = [{"type": "text", "text": "Here"}, {"type": "video", "data": data, "mime_type": "video/mp4"}]
    for model, body in (
        (VEO, done(generatedSamples=[{"video": {"encodedVideo": data, "encoding": "video/mp4"}}])),
        (OMNI, {"status": "completed", "steps": [{"type": "model_output", "content": content}]}),
    ):
        made = adapter(simulator.url, model)
        answering(monkeypatch, body)
        status = await made.poll(JobRef("google", OPERATION))
        assert (status.artifacts[0].data, status.artifacts[0].mime) == (b"video", "video/mp4")
        await made.close()


async def test_a_job_whose_price_is_not_known_here_names_none(
    simulator: RunningSimulator, made: ProviderAdapter
) -> None:
    ref = await sent(made, VIDEO)
    status = await made.poll(JobRef(ref.provider, ref.external_id))
    assert (status.state, status.cost) == ("succeeded", None)


async def test_an_interaction_nobody_knows_is_an_invalid_request(simulator: RunningSimulator) -> None:
    omni = adapter(simulator.url, OMNI)
    with pytest.raises(ProviderError, match="Invalid interaction name") as caught:
        await omni.poll(JobRef("google", "v1nobody"))
    await omni.close()
    assert (caught.value.code, caught.value.http_status) == (ErrorCode.INVALID_REQUEST, 400)


async def test_a_delay_that_stands_in_the_body_alone_is_read(made: ProviderAdapter) -> None:
    with pytest.raises(ProviderError) as caught:
        await sent(made, replace(VIDEO, prompt="A fox [[sim:429:body_retryinfo=37s]]"))
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.RATE_LIMIT, 37)


async def test_a_model_that_is_gone_is_told_as_such(simulator: RunningSimulator) -> None:
    for model in ("gemini-omni-9", "veo-9", "lyria-9"):
        made = adapter(simulator.url, model)
        wish = SONG if model == "lyria-9" else VIDEO
        with pytest.raises(ProviderError) as caught:
            await made.submit(wish, made.plan(wish))
        assert (caught.value.code, caught.value.scope) == (ErrorCode.INVALID_REQUEST, "model")
        await made.close()
