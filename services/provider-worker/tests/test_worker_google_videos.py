"""Google's videos: which shape and length is asked for, what a picture is good for, whose key goes where."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from provider_worker.adapters.config import Price, Prices
from provider_worker.adapters.google_videos import file_of
from provider_worker.adapters.interface import (
    ErrorCode,
    Op,
    Outcome,
    ProviderAdapter,
    ProviderError,
)
from simulator.testing import RunningSimulator
from tests.google_builders import OMNI, PICTURE, VEO, VIDEO, adapter, ended, sent


@pytest.fixture(params=[OMNI, VEO])
async def made(request: pytest.FixtureRequest, simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = adapter(simulator.url, request.param)
    yield found
    await found.close()


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


def test_omni_is_not_asked_for_a_last_picture_that_it_would_pass_over() -> None:
    made = adapter("http://127.0.0.1:9", OMNI)
    with pytest.raises(ProviderError, match="takes no last_frame") as caught:
        made.plan(replace(VIDEO, op=Op.IMAGE_TO_VIDEO, inputs=(PICTURE, replace(PICTURE, role="last_frame"))))
    assert (caught.value.code, caught.value.outcome) == (ErrorCode.INVALID_REQUEST, Outcome.NOT_SENT)


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
