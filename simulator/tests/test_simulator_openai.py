"""OpenAI's own client against the simulator: what it gets, and what it raises."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import openai
import pytest
from PIL import Image

from simulator.testing import RunningSimulator

KEY = "sim-openai"


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{simulator.url}/openai/v1", max_retries=0) as made:
        yield made


def files(answer: Any) -> list[bytes]:
    return [base64.b64decode(one.b64_json) for one in answer.data]


@pytest.mark.parametrize(("size", "form", "pillow"), [("1280x720", "png", "PNG"), ("1024x1536", "webp", "WEBP")])
def test_a_picture_has_the_size_and_format_asked_for(
    client: openai.OpenAI, simulator: RunningSimulator, size: str, form: Any, pillow: str
) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt="A fox", size=size, output_format=form)

    assert answer.usage
    picture = Image.open(BytesIO(files(answer)[0]))
    picture.load()
    assert (f"{picture.width}x{picture.height}", picture.format) == (size, pillow)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert simulator.bill()["amount_micros"] == 5 * answer.usage.input_tokens + 30 * answer.usage.output_tokens


def test_the_same_words_give_the_same_bytes_and_others_other_ones(client: openai.OpenAI) -> None:
    first, again, other = (
        client.images.generate(model="gpt-image-2", prompt=prompt, n=2) for prompt in ("A fox", "A fox", "A cat")
    )
    assert first.data == again.data
    assert first.data
    assert first.data[0] != first.data[1]
    assert first.data != other.data


def test_a_stamped_picture_is_whole_and_has_bytes_of_its_own(
    client: openai.OpenAI, simulator: RunningSimulator
) -> None:
    simulator.post("settings", provider="openai", pictures="stamped")
    for form in ("png", "jpeg", "webp"):
        seen = set()
        for number in range(10):
            answer = client.images.generate(model="gpt-image-2", prompt=f"{number}", output_format=form)
            data = files(answer)[0]
            Image.open(BytesIO(data)).load()
            seen.add(data)
        assert len(seen) == 10


def test_an_edit_takes_pictures_and_pays_for_them(client: openai.OpenAI, simulator: RunningSimulator) -> None:
    given = BytesIO()
    Image.new("RGB", (64, 64), "red").save(given, "PNG")

    answer = client.images.edit(
        model="gpt-image-2", image=[("a.png", given.getvalue()), ("b.png", given.getvalue())], prompt="Greener"
    )

    assert answer.data
    assert answer.data[0].b64_json
    assert answer.usage
    assert answer.usage.input_tokens_details.image_tokens == 646
    assert len(simulator.bill()["lines"]) == 1


@pytest.mark.parametrize(
    ("tag", "error", "status", "code"),
    [
        ("auth", openai.AuthenticationError, 401, "invalid_api_key"),
        ("quota", openai.RateLimitError, 429, "insufficient_quota"),
        ("429:retry_after=3", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("policy:input", openai.BadRequestError, 400, "moderation_blocked"),
        ("policy:output", openai.BadRequestError, 400, "moderation_blocked"),
        ("fail", openai.InternalServerError, 500, "image_generation_failed"),
        ("http503", openai.InternalServerError, 503, "server_error"),
    ],
)
def test_a_fault_is_raised_as_the_provider_words_it_and_costs_nothing(
    client: openai.OpenAI,
    simulator: RunningSimulator,
    tag: str,
    error: type[openai.APIStatusError],
    status: int,
    code: str,
) -> None:
    with pytest.raises(error) as raised:
        client.images.generate(model="gpt-image-2", prompt=f"A fox [[sim:{tag}]]")

    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.request_id
    assert raised.value.request_id.startswith("req_")
    assert simulator.bill()["amount_micros"] == 0


def test_the_time_to_wait_stands_in_the_headers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client.images.generate(model="gpt-image-2", prompt="A fox [[sim:429:retry_after=2.5]]")
    headers = raised.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2.5", "2500")


def test_a_refusal_by_policy_says_at_which_stage(client: openai.OpenAI) -> None:
    for stage in ("input", "output"):
        with pytest.raises(openai.BadRequestError) as raised:
            client.images.generate(model="gpt-image-2", prompt=f"A fox [[sim:policy:{stage}]]")
        assert isinstance(raised.value.body, dict)
        assert raised.value.body["moderation_details"]["moderation_stage"] == stage


def test_a_wrong_key_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="other").images.generate(model="gpt-image-2", prompt="A fox")


@pytest.mark.parametrize("size", ["1000x1000", "512x512", "3840x3840", "3840x1024", "large"])
def test_a_size_that_the_model_cannot_make_is_refused(client: openai.OpenAI, size: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.generate(model="gpt-image-2", prompt="A fox", size=size)
    assert raised.value.param == "size"


def test_a_model_that_is_gone_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.images.generate(model="gpt-image-1", prompt="A fox")
    assert raised.value.code == "model_not_found"


def test_the_client_tries_again_after_errors_and_pays_once(client: openai.OpenAI, simulator: RunningSimulator) -> None:
    answer = client.with_options(max_retries=2).images.generate(
        model="gpt-image-2", prompt="A fox [[sim:http500x2]]", extra_headers={"X-Client-Request-Id": "attempt-1"}
    )

    assert answer.data
    assert [call["status"] for call in simulator.calls(reference="attempt-1")] == [500, 500, 200]
    assert [line["reference"] for line in simulator.bill()["lines"]] == ["attempt-1"]
    assert simulator.get("counters")["repeated_submits"][0]["submits"] == 3


def test_an_answer_that_is_lost_was_paid_and_paying_twice_is_seen(
    client: openai.OpenAI, simulator: RunningSimulator
) -> None:
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            client.images.generate(
                model="gpt-image-2",
                prompt="A fox [[sim:drop_after_accept]]",
                extra_headers={"X-Client-Request-Id": "attempt-1"},
            )

    (twice,) = simulator.bill()["paid_more_than_once"]
    assert (twice["reference"], twice["generations"]) == ("attempt-1", 2)
    assert [call["status"] for call in simulator.calls()] == [None, None]


def test_a_hanging_provider_is_left_and_was_paid(client: openai.OpenAI, simulator: RunningSimulator) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).images.generate(model="gpt-image-2", prompt="A fox [[sim:hang]]")
    assert simulator.bill()["generations"] == 1


@pytest.mark.parametrize(
    ("how", "magic"),
    [
        ("truncated", b"\x89PNG"),
        ("html", b"<!doctype"),
        ("empty", b""),
        ("wrong_mime", b"\xff\xd8"),
        ("garbage", b"\x89PNG"),
    ],
)
def test_damaged_bytes_are_paid_and_no_picture(
    client: openai.OpenAI, simulator: RunningSimulator, how: str, magic: bytes
) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt=f"A fox [[sim:corrupt:{how}]]")

    data = files(answer)[0]
    assert data.startswith(magic)
    assert simulator.bill()["generations"] == 1
    if how != "wrong_mime":
        with pytest.raises((OSError, SyntaxError, struct.error)):
            Image.open(BytesIO(data)).load()


def test_a_picture_of_the_wrong_size_is_whole(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt="A fox [[sim:corrupt:wrong_size]]", size="1024x1024")
    assert Image.open(BytesIO(files(answer)[0])).size == (512, 512)


def test_half_of_the_pictures_cost_half(client: openai.OpenAI, simulator: RunningSimulator) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt="A fox [[sim:partial]]", n=4)
    assert answer.data
    assert len(answer.data) == 2
    whole = client.images.generate(model="gpt-image-2", prompt="A fox", n=2)
    assert whole.data
    part, half = (line["amount_micros"] for line in simulator.bill()["lines"])
    assert abs(part - half) <= 20


def test_a_tenant_is_counted_by_itself(client: openai.OpenAI, simulator: RunningSimulator) -> None:
    client.images.generate(model="gpt-image-2", prompt="A fox", user="acme")
    client.images.generate(model="gpt-image-2", prompt="A fox [[sim:tenant=zenith]]")
    assert simulator.get("counters")["peaks"]["tenant"] == {"openai/acme": 1, "openai/zenith": 1}
