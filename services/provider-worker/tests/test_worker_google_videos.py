"""Google's videos and music: which shape and length is asked for, whose key goes where, what an odd answer means."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any, ClassVar

import pytest
import soundfile
from pydantic import SecretStr

from provider_worker.adapters import gemini_interactions, veo
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.google_videos import file_of
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
    WebhookRefused,
)
from simulator.testing import Customer, RunningSimulator

VIDEO = GenerationRequest(
    "a1", "acme", MediaKind.VIDEO, Op.TEXT_TO_VIDEO, "A fox runs", 1280, 720, "mp4", duration_s=3.5
)
SONG = GenerationRequest("a1", "acme", MediaKind.MUSIC, Op.TEXT_TO_MUSIC, "A waltz", 0, 0, "mp3", duration_s=20.0)
PICTURE = InputMedia("first_frame", "image/png", data=b"a picture")
PRICES = (Price("second", 100_000), Price("generation", 80_000))
OMNI, VEO, LYRIA, CLIP = "gemini-omni-1.1-flash", "veo-3.1-generate-preview", "lyria-3.5", "lyria-3-clip-preview"


def adapter(url: str, model: str, **changes: Any) -> ProviderAdapter:
    given: dict[str, Any] = {
        "name": "google",
        "model": model,
        "base_url": f"{url}/gemini",
        "api_key": SecretStr("sim-gemini"),
        "prices": Prices("google", PRICES),
    }
    config = ProviderConfig(**{**given, **changes})
    return veo.make(config) if model.startswith("veo") else gemini_interactions.make(config)


@pytest.fixture(params=[OMNI, VEO])
async def made(request: pytest.FixtureRequest, simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = adapter(simulator.url, request.param)
    yield found
    await found.close()


@pytest.fixture
async def omni(simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = adapter(simulator.url, OMNI)
    yield found
    await found.close()


async def sent(made: ProviderAdapter, wish: GenerationRequest) -> JobRef:
    found = await made.submit(wish, made.plan(wish))
    assert isinstance(found, JobRef)
    return found


async def ended(made: ProviderAdapter, wish: GenerationRequest) -> Status:
    return await made.poll(await sent(made, wish))


def asked_of(plan: Any) -> tuple[Any, Any, int]:
    """Ratio, resolution and seconds, as either wire has them."""
    if "parameters" in plan:
        given = plan["parameters"]
        return given["aspectRatio"], given["resolution"], given["durationSeconds"]
    form = plan["response_format"]
    return form["aspect_ratio"], form["resolution"], int(form["duration"].removesuffix("s"))


SHAPES = [
    ((1280, 720), ("16:9", "720p"), ("16:9", "720p")),
    ((1080, 1920), ("9:16", "1080p"), ("9:16", "1080p")),
    ((3840, 2160), ("16:9", "4k"), ("16:9", "4k")),
    ((640, 360), ("16:9", "360p"), ("16:9", "720p")),
    ((1200, 480), ("16:9", "720p"), ("16:9", "720p")),
]


@pytest.mark.parametrize(("size", "of_omni", "of_veo"), SHAPES, ids=[f"{w}x{h}" for (w, h), _, _ in SHAPES])
def test_the_nearest_shape_is_asked_for(size: tuple[int, int], of_omni: Any, of_veo: Any) -> None:
    wish = replace(VIDEO, width=size[0], height=size[1])
    found = [asked_of(adapter("http://127.0.0.1:9", model).plan(wish))[:2] for model in (OMNI, VEO)]
    assert found == [of_omni, of_veo]


@pytest.mark.parametrize(
    ("model", "asked", "seconds"),
    [
        (OMNI, 0.5, 3),
        (OMNI, 3.5, 4),
        (OMNI, 10.0, 10),
        (OMNI, None, 3),
        ("gemini-omni-1.2-flash", 14.2, 15),
        (VEO, 0.5, 4),
        (VEO, 4.0, 4),
        (VEO, 4.1, 6),
        (VEO, 8.0, 8),
    ],
)
def test_the_shortest_video_that_is_long_enough_is_asked_for_and_paid(
    model: str, asked: float | None, seconds: int
) -> None:
    made, wish = adapter("http://127.0.0.1:9", model), replace(VIDEO, duration_s=asked)
    assert asked_of(made.plan(wish))[2] == seconds
    assert made.estimate(wish).amount_micros == seconds * 100_000


@pytest.mark.parametrize(
    ("model", "asked"), [(OMNI, 10.01), ("gemini-omni-1.2-flash", 15.5), (VEO, 8.5), (OMNI, 0.0), (OMNI, -1.0)]
)
def test_a_video_is_never_shorter_than_asked(model: str, asked: float) -> None:
    made = adapter("http://127.0.0.1:9", model)
    for refuse in (made.plan, made.estimate):
        with pytest.raises(ProviderError, match="duration") as caught:
            refuse(replace(VIDEO, duration_s=asked))
        assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)


def test_veo_makes_large_videos_at_eight_seconds_alone() -> None:
    plan = adapter("http://127.0.0.1:9", VEO).plan(replace(VIDEO, width=1920, height=1080, duration_s=4))
    assert asked_of(plan) == ("16:9", "1080p", 8)


def test_what_has_no_price_is_not_bought() -> None:
    prices = Prices("google", (Price("second", 100_000, {"resolution": "720p"}),))
    for model in (OMNI, VEO):
        made = adapter("http://127.0.0.1:9", model, prices=prices)
        assert made.estimate(VIDEO).amount_micros > 0
        with pytest.raises(ProviderError, match="no price"):
            made.estimate(replace(VIDEO, width=1920, height=1080, duration_s=8))


async def test_what_was_asked_is_kept_beside_what_was_sent(made: ProviderAdapter) -> None:
    ref = await sent(made, VIDEO)
    assert ref.data["asked_s"] == 3.5
    status = await made.poll(ref)
    assert status.cost == replace(made.estimate(VIDEO), basis="priced_from_usage")


async def test_a_video_may_begin_with_a_picture(made: ProviderAdapter, simulator: RunningSimulator) -> None:
    wish = replace(VIDEO, op=Op.IMAGE_TO_VIDEO, inputs=(PICTURE,))
    other = replace(VIDEO, op=Op.IMAGE_TO_VIDEO, inputs=(replace(PICTURE, data=b"another"),))
    assert (await ended(made, wish)).state == "succeeded"
    await sent(made, VIDEO)
    await sent(made, other)
    hashes = [line["request_sha256"] for line in simulator.bill()["lines"]]
    assert len(set(hashes)) == 3
    assert base64.b64encode(b"a picture").decode() not in json.dumps(made.plan(wish))
    assert made.plan(wish) != made.plan(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"op": Op.IMAGE_TO_VIDEO},
        {"inputs": (PICTURE,)},
        {"op": Op.IMAGE_TO_VIDEO, "inputs": (PICTURE, PICTURE)},
        {"op": Op.IMAGE_TO_VIDEO, "inputs": (replace(PICTURE, data=None, url="https://example.com/a.png"),)},
        {"format": "webm"},
    ],
)
def test_pictures_that_cannot_be_used_are_refused_before_anything_is_sent(
    made: ProviderAdapter, changes: dict[str, Any]
) -> None:
    with pytest.raises(ProviderError) as caught:
        made.plan(replace(VIDEO, **changes))
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)


async def test_veo_takes_a_last_picture_and_what_must_not_be_seen(simulator: RunningSimulator) -> None:
    made = adapter(simulator.url, VEO)
    wish = replace(
        VIDEO,
        op=Op.IMAGE_TO_VIDEO,
        inputs=(PICTURE, replace(PICTURE, role="last_frame")),
        options={"negative_prompt": "no cats"},
    )
    plan = made.plan(wish)
    assert plan["parameters"]["negativePrompt"] == "no cats"
    assert {"image", "lastFrame"} <= plan["instances"][0].keys()
    assert (await ended(made, wish)).state == "succeeded"
    await made.close()


class Seen(BaseHTTPRequestHandler):
    """A place that leads on once, and says which key it saw."""

    keys: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.keys.append((self.path, self.headers.get("x-goog-api-key")))
        first = self.path == "/gemini/file"
        self.send_response(302 if first else 200)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0" if first else "5")
        self.end_headers()
        self.wfile.write(b"" if first else b"video")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("model", [OMNI, VEO])
async def test_the_key_goes_to_the_file_and_not_where_it_leads(model: str) -> None:
    Seen.keys.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    made = adapter(url, model)
    try:
        video = file_of(f"{url}/gemini/file", "video/mp4", f"{url}/gemini")
        assert b"".join([chunk async for chunk in made.fetch(video)]) == b"video"
    finally:
        await made.close()
        server.shutdown()
        server.server_close()
    assert Seen.keys == [("/gemini/file", "sim-gemini"), ("/elsewhere", None)]


@pytest.mark.parametrize(
    "url", ["https://storage.googleapis.com/a.mp4", "https://a:port/x", "files/a", "gs://bucket/a.mp4"]
)
def test_a_file_of_somebody_elses_gets_no_key(url: str) -> None:
    assert not file_of(url, "video/mp4", "https://generativelanguage.googleapis.com").needs_key


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


async def test_what_had_ended_before_it_was_cancelled_was_not_stopped(
    omni: ProviderAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, stopped in (("completed", False), ("cancelled", True)):
        monkeypatch.setattr("provider_worker.adapters.wire.Answer.json_or_none", lambda _, word=word: {"status": word})
        assert await omni.cancel(JobRef("google", "v1")) is stopped


async def test_a_page_of_a_stranger_in_between_stops_nothing(omni: ProviderAdapter) -> None:
    ref = await sent(omni, replace(VIDEO, prompt="A fox [[sim:http502:foreign@cancel]]"))
    assert not await omni.cancel(ref)


async def test_an_interaction_nobody_knows_is_an_invalid_request(omni: ProviderAdapter) -> None:
    with pytest.raises(ProviderError, match="Invalid interaction name") as caught:
        await omni.poll(JobRef("google", "v1nobody"))
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


async def test_our_reference_stands_on_the_bill(omni: ProviderAdapter, simulator: RunningSimulator) -> None:
    await sent(omni, VIDEO)
    [line] = simulator.bill()["lines"]
    assert line["reference"] == "a1"
    assert line["tenant"] not in {None, "acme"}


@pytest.mark.parametrize(("model", "longest"), [(CLIP, 30.0), (LYRIA, 160.0)])
async def test_music_is_as_long_as_was_asked_or_longer_and_never_shorter(
    simulator: RunningSimulator, model: str, longest: float
) -> None:
    made = adapter(simulator.url, model)
    status = await ended(made, SONG)
    data = status.artifacts[0].data
    assert data is not None
    assert soundfile.info(BytesIO(data)).duration >= 20
    with pytest.raises(ProviderError, match="duration"):
        made.plan(replace(SONG, duration_s=longest + 1))
    await made.close()


def test_what_lyria_has_no_field_for_is_said_in_words() -> None:
    made = adapter("http://127.0.0.1:9", LYRIA)
    words = [
        made.plan(replace(SONG, options={"instrumental": instrumental}))["input"][0]["content"][0]["text"]
        for instrumental in (True, False)
    ]
    assert words == [
        "A waltz\nInstrumental only, no vocals.\nLength: about 22 seconds.",
        "A waltz\nLength: about 22 seconds.",
    ]


SECRET = "GEMINI_TEST_SECRET"


@pytest.fixture
async def told(
    simulator: RunningSimulator, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ProviderAdapter]:
    """An adapter that knows the secret of the project's callbacks."""
    registered = simulator.http.post(
        f"{simulator.url}/gemini/v1beta/webhooks",
        json={"uri": customer.url("other"), "subscribed_events": ["interaction.completed"]},
        headers={"x-goog-api-key": "sim-gemini"},
    )
    monkeypatch.setenv(SECRET, registered.json()["new_signing_secret"])
    found = adapter(simulator.url, OMNI, options={"webhook_secret_env": SECRET})
    yield found
    await found.close()


def calling(customer: Customer, tag: str = "") -> GenerationRequest:
    return replace(VIDEO, callback_url=customer.url("a1"), prompt=f"A fox [[sim:{tag}]]" if tag else "A fox")


async def test_a_callback_names_the_job_and_our_reference_and_its_signature_is_believed(
    told: ProviderAdapter, customer: Customer
) -> None:
    ref = await sent(told, calling(customer))
    event = await told.parse_webhook(*customer.got.get(timeout=10), datetime.now(UTC))
    assert event.ref is not None
    assert (event.ref.external_id, event.reference, event.verified) == (ref.external_id, "a1", True)
    assert (await told.poll(event.ref)).state == "succeeded"


async def test_a_callback_that_was_changed_is_refused(told: ProviderAdapter, customer: Customer) -> None:
    await sent(told, calling(customer))
    headers, body = customer.got.get(timeout=10)
    with pytest.raises(WebhookRefused, match="bad_signature"):
        await told.parse_webhook(headers, body + b" ", datetime.now(UTC))


@pytest.mark.parametrize(("tag", "reason"), [("bad_signature", "bad_signature"), ("bad_signature:old", "too_old")])
async def test_a_callback_that_is_badly_signed_is_refused(
    told: ProviderAdapter, customer: Customer, tag: str, reason: str
) -> None:
    await sent(told, calling(customer, tag))
    with pytest.raises(WebhookRefused, match=reason):
        await told.parse_webhook(*customer.got.get(timeout=10), datetime.now(UTC))


async def test_without_a_secret_and_with_a_signature_of_another_kind_a_callback_is_a_hint(
    omni: ProviderAdapter, told: ProviderAdapter, customer: Customer
) -> None:
    await sent(omni, calling(customer))
    headers, body = customer.got.get(timeout=10)
    unknown = await omni.parse_webhook(headers, body, datetime.now(UTC))
    token = await told.parse_webhook({**headers, "webhook-signature": "e30.e30.c2ln"}, body, datetime.now(UTC))
    for event in (unknown, token):
        assert event.ref is not None
        assert not event.verified
    with pytest.raises(WebhookRefused, match="no_signature"):
        await told.parse_webhook({}, body, datetime.now(UTC))
